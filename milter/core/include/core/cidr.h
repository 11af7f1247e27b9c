/* IP addresses and networks of both families. IPv4 is kept as IPv4-mapped IPv6, so one comparison serves both. Pure. */
#ifndef CORE_CIDR_H
#define CORE_CIDR_H

#include "base/text.h"

struct cm_ip {
    bool known; /* false: the session has no client address */
    uint8_t bytes[16];
};

struct cm_cidr {
    uint8_t bytes[16];
    uint8_t prefix_bits; /* 0-128, over the mapped form */
};

/* Dotted quad or RFC 4291 text, without brackets or zone. */
bool cm_ip_parse(struct cm_span text, struct cm_ip *out);
/* "10.0.0.0/8", "2001:db8::/32", or a single address. Bits set beyond the prefix are an error: the administrator meant
 * something else. An IPv4-mapped IPv6 network is the IPv4 network. */
bool cm_cidr_parse(struct cm_span text, struct cm_cidr *out);
/* False for an unknown address. An IPv6 network wide enough to hold the mapped range ("::/0") holds IPv6 clients only:
 * "0.0.0.0/0" says the other half. */
bool cm_cidr_contains(const struct cm_cidr *network, const struct cm_ip *ip);

#endif
