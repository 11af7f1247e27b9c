#include "core/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#define MAPPED_BITS 96

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const uint8_t bytes[16])
{
    return memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* Tells in out_is_v4 which family the text was written in; a prefix length counts in that family. */
static bool parse_address(struct cm_span text, uint8_t out_bytes[16], bool *out_is_v4)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t bytes[16] = {0};
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.p, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    *out_is_v4 = memchr(text.p, ':', text.len) == NULL;
    if (*out_is_v4) {
        memcpy(bytes, mapped_prefix, sizeof(mapped_prefix));
    }
    if (inet_pton(*out_is_v4 ? AF_INET : AF_INET6, copy, *out_is_v4 ? bytes + 12 : bytes) != 1) {
        return false;
    }
    memcpy(out_bytes, bytes, sizeof(bytes));
    return true;
}

bool cm_ip_parse(struct cm_span text, struct cm_ip *out)
{
    struct cm_ip ip = {.known = true};
    bool is_v4 = false;
    if (!parse_address(text, ip.bytes, &is_v4)) {
        return false;
    }
    *out = ip;
    return true;
}

static bool first_bits_equal(const uint8_t a[16], const uint8_t b[16], size_t bits)
{
    size_t whole = bits / 8;
    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    return bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
}

static bool bits_beyond_are_zero(const uint8_t bytes[16], size_t bits)
{
    for (size_t bit = bits; bit < 128; bit++) {
        if ((bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

bool cm_cidr_parse(struct cm_span text, struct cm_cidr *out)
{
    struct cm_span rest = text;
    struct cm_span address;
    struct cm_cidr network = {.prefix_bits = 128};
    bool is_v4 = false;
    if (!cm_span_next(&rest, '/', &address) || !parse_address(address, network.bytes, &is_v4)) {
        return false;
    }
    if (rest.p != NULL) {
        uint64_t bits = 0;
        if (rest.len > 3 || !cm_parse_u64(rest, is_v4 ? 32 : 128, &bits)) {
            return false;
        }
        network.prefix_bits = (uint8_t)(bits + (is_v4 ? MAPPED_BITS : 0));
    }
    if (!bits_beyond_are_zero(network.bytes, network.prefix_bits)) {
        return false;
    }
    *out = network;
    return true;
}

bool cm_cidr_contains(const struct cm_cidr *network, const struct cm_ip *ip)
{
    if (!ip->known || (network->prefix_bits < MAPPED_BITS && is_mapped(ip->bytes))) {
        return false;
    }
    return first_bits_equal(network->bytes, ip->bytes, network->prefix_bits);
}
