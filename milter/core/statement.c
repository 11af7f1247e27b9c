#include "core/statement.h"

uint16_t cm_statement_floor(const struct cm_statement *statements, size_t count, cm_ms now)
{
    uint16_t oldest = 0;
    for (size_t i = 0; i < count; i++) { /* LAW-9 */
        if (statements[i].material && statements[i].effective_at <= now && statements[i].version > oldest) {
            oldest = statements[i].version;
        }
    }
    return oldest;
}
