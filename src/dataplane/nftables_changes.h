#pragma once
/* Changes of elements on their way into one transaction: collected per family and map as fixed-size
 * records, since elements of one map share a message. Also the byte form of keys and values. */

#include "dataplane/frontend_table.h"
#include "dataplane/nftables_priv.h"

struct nftables_changes {
    struct buf del[2][_NFTABLES_MAP_MAX];
    struct buf add[2][_NFTABLES_MAP_MAX];
    size_t n;
};

void nftables_changes_done(struct nftables_changes *c);
void nftables_changes_clear(struct nftables_changes *c);
/* Deletions first, so that an element can change its value in one transaction. */
void nftables_changes_emit(const struct nftables_changes *c, struct nfnl_batch *b);
/* How many elements are added and deleted. */
void nftables_changes_count(const struct nftables_changes *c, uint64_t *added, uint64_t *deleted);

/* value: see enum in nftables_priv.h; of the scope's own map. */
void nftables_change_frontend(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                              const struct frontend_key *k, uint32_t value);
void nftables_change_endpoint(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                              const struct frontend_key *k, uint32_t index,
                              const struct dataplane_endpoint *e);
void nftables_change_source(struct nftables_changes *c, bool add, const struct frontend_key *k,
                            const struct prefix *p);
void nftables_change_affinity(struct nftables_changes *c, bool add, const struct frontend_key *k,
                              uint32_t number);
void nftables_change_number(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                            const struct frontend_key *k, uint32_t index, uint32_t number);
void nftables_change_pin(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                         uint8_t family, uint32_t number, const struct dataplane_endpoint *e);
/* Of a class of affinity. */
void nftables_change_seconds(struct nftables_changes *c, unsigned family, unsigned class_,
                             uint32_t seconds);
void nftables_change_address(struct nftables_changes *c, bool add, enum dataplane_list list,
                             const struct ip *ip);

/* What `want` adds to a map, by key (and end of a range): for comparing with what the kernel has.
 * Borrowed from want. */
void nftables_changes_index(const struct nftables_changes *want, unsigned family,
                            enum nftables_map map, struct map *ret);
/* The keys alone, one after the other; returns the length of one, 0 = there is none. */
size_t nftables_changes_keys(const struct nftables_changes *want, unsigned family,
                             enum nftables_map map, struct buf *ret);
struct nftables_element;
bool nftables_element_is(const struct nftables_element *w, const struct nfnl_elem *e);
void nftables_change_element(struct nftables_changes *c, bool add, unsigned family,
                             enum nftables_map map, const struct nftables_element *w);
/* One that the kernel has goes. */
void nftables_change_found(struct nftables_changes *c, unsigned family, enum nftables_map map,
                           const struct nfnl_elem *e);
/* As in the index. */
void nftables_found_key(const struct nfnl_elem *e, struct buf *ret);

/* Appends the key of an endpoint; those of one family and kind of frontend have one length. */
void nftables_endpoint_key(struct buf *keys, const struct frontend_key *k,
                           enum endpoint_scope scope, uint32_t index);

/* The other way, from a dump. False: not one of ours. */
bool nftables_parse_frontend(const struct nftables_family *f, bool node_port,
                             const struct nfnl_elem *e, struct frontend_key *ret,
                             uint32_t *ret_value);
bool nftables_parse_endpoint(const struct nftables_family *f, bool node_port,
                             const struct nfnl_elem *e, struct frontend_key *ret,
                             enum endpoint_scope *ret_scope, uint32_t *ret_index,
                             struct dataplane_endpoint *ret_endpoint);
bool nftables_parse_number(const struct nftables_family *f, bool node_port,
                           const struct nfnl_elem *e, struct frontend_key *ret,
                           enum endpoint_scope *ret_scope, uint32_t *ret_index,
                           uint32_t *ret_number);
bool nftables_parse_pin(const struct nftables_family *f, const struct nfnl_elem *e,
                        uint32_t *ret_number, struct dataplane_endpoint *ret_endpoint);
bool nftables_parse_source(const struct nftables_family *f, const struct nfnl_elem *e,
                           struct frontend_key *ret, struct prefix *ret_prefix);
