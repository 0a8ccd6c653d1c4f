/* Which parts of nf_tables a kernel lacks. A kernel is built of options and loads modules: its
 * version says little. Each part goes into a batch of its own, behind a table and a chain, before a
 * message that cannot succeed; which message is refused tells whether the part is there. The batch
 * is never committed: no table is seen, no packet meets it. */
#include "nl/nft_features.h"

#include <errno.h>
#include <linux/netfilter/nf_nat.h>

#define PROBE_TABLE  "fairlead-probe"
#define PROBE_CHAIN  "probe"
#define ABSENT_CHAIN "absent"

static const enum nfnl_type MARK[] = {NFNL_TYPE_MARK};
static const enum nfnl_type PORTS[] = {NFNL_TYPE_INET_PROTO, NFNL_TYPE_INET_SERVICE};
static const enum nfnl_type SOURCES[] = {NFNL_TYPE_INET_SERVICE, NFNL_TYPE_IP};

static void add_nat(struct nfnl_batch *b, uint8_t family)
{
    nfnl_chain_new(b, "hook", "nat", NF_INET_PRE_ROUTING, -100);
    nfnl_rule_begin(b, "hook");
    nfnl_immediate(b, nfnl_reg(0), (uint8_t[16]){0}, family == NFPROTO_IPV4 ? 4 : 16);
    nfnl_immediate(b, nfnl_reg(4), (uint8_t[2]){0}, 2);
    nfnl_dnat(b, family, nfnl_reg(0), nfnl_reg(4));
    nfnl_rule_end(b);
}

static void add_maps(struct nfnl_batch *b, uint8_t family)
{
    const struct nfnl_set s = {.name = "m",
                               .id = 1,
                               .flags = NFT_SET_MAP,
                               .key = PORTS,
                               .n_key = 2,
                               .data = MARK,
                               .n_data = 1};
    (void)family;
    nfnl_set_new(b, &s);
}

static void add_intervals(struct nfnl_batch *b, uint8_t family)
{
    const struct nfnl_set s = {
        .name = "i", .id = 1, .flags = NFT_SET_INTERVAL, .key = SOURCES, .n_key = 2};
    const uint8_t from[8] = {0, 80, 0, 0, 10}, to[8] = {0, 80, 0, 0, 10, 255, 255, 255};
    (void)family;
    nfnl_set_new(b, &s);
    nfnl_elems_begin(b, NFT_MSG_NEWSETELEM, "i");
    nfnl_elem_add_range(b, str_of(from, 8), str_of(to, 8));
    nfnl_elems_end(b);
}

static void add_remembering(struct nfnl_batch *b, uint8_t family)
{
    const struct nfnl_set s = {.name = "r",
                               .id = 1,
                               .flags = NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL,
                               .key = MARK,
                               .n_key = 1,
                               .data = MARK,
                               .n_data = 1,
                               .size = 16};
    (void)family;
    nfnl_set_new(b, &s);
    nfnl_rule_begin(b, PROBE_CHAIN);
    nfnl_meta(b, NFT_META_MARK, nfnl_reg(0));
    nfnl_dynset(b, "r", NFT_DYNSET_OP_DELETE, nfnl_reg(0), nfnl_reg(0), 0);
    nfnl_rule_end(b);
}

static void add_numgen(struct nfnl_batch *b, uint8_t family)
{
    (void)family;
    nfnl_rule_begin(b, PROBE_CHAIN);
    nfnl_numgen(b, 2, 0, nfnl_reg(0));
    nfnl_rule_end(b);
}

static void add_fib(struct nfnl_batch *b, uint8_t family)
{
    (void)family;
    nfnl_rule_begin(b, PROBE_CHAIN);
    nfnl_fib(b, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, nfnl_reg(0));
    nfnl_rule_end(b);
}

static void add_ct(struct nfnl_batch *b, uint8_t family)
{
    (void)family;
    nfnl_rule_begin(b, PROBE_CHAIN);
    nfnl_ct(b, NFT_CT_STATE, nfnl_reg(0));
    nfnl_rule_end(b);
}

static void add_reject(struct nfnl_batch *b, uint8_t family)
{
    (void)family;
    nfnl_rule_begin(b, PROBE_CHAIN);
    nfnl_reject(b, NFT_REJECT_ICMP_UNREACH, 3);
    nfnl_rule_end(b);
}

static void add_masquerade(struct nfnl_batch *b, uint8_t family)
{
    (void)family;
    nfnl_chain_new(b, "out", "nat", NF_INET_POST_ROUTING, 100);
    nfnl_rule_begin(b, "out");
    nfnl_masquerade(b, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
    nfnl_rule_end(b);
}

static void add_redirect(struct nfnl_batch *b, uint8_t family)
{
    const uint8_t port[4] = {0x3a, 0x99};
    (void)family;
    nfnl_chain_new(b, "in", "nat", NF_INET_PRE_ROUTING, -100);
    nfnl_rule_begin(b, "in");
    nfnl_immediate(b, nfnl_reg(0), port, 2);
    nfnl_redirect(b, nfnl_reg(0));
    nfnl_rule_end(b);
}

const struct nft_feature nft_features[] = {
    {"chains of type nat, and dnat", "CONFIG_NFT_NAT", "3.18", false, add_nat},
    {"maps of concatenations", "CONFIG_NF_TABLES", "4.1", false, add_maps},
    {"intervals within concatenations", "CONFIG_NF_TABLES", "5.6", false, add_intervals},
    {"maps that packets write to", "CONFIG_NF_TABLES", "5.4", false, add_remembering},
    {"numgen", "CONFIG_NFT_NUMGEN", "4.9", false, add_numgen},
    {"fib", "CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6", "4.10", false, add_fib},
    {"ct", "CONFIG_NFT_CT", "3.13", false, add_ct},
    {"reject", "CONFIG_NFT_REJECT", "3.13", false, add_reject},
    {"masquerade", "CONFIG_NFT_MASQ", "3.18", false, add_masquerade},
    {"redirect", "CONFIG_NFT_REDIR", "3.19", true, add_redirect},
};
const size_t nft_features_n = ARRAY_LEN(nft_features);

/* 1: missing, and why says so; 0: there. */
static int probe(struct nft *n, const struct nft_feature *f, uint8_t family, struct err *why)
{
    struct nfnl_batch b;
    nft_batch_begin(n, &b, 0);
    nfnl_batch_table(&b, family, PROBE_TABLE);
    nfnl_table_new(&b);
    nfnl_chain_new(&b, PROBE_CHAIN, NULL, -1, 0);
    f->add(&b, family);
    uint32_t last = b.seq_next;
    nfnl_chain_delete(&b, ABSENT_CHAIN);
    uint32_t refused = 0;
    int r = nft_refused(n, &b, &refused, why);
    nfnl_batch_done(&b);
    if (r == 0)
        return err_set(why, -EBADMSG, NULL, "the kernel deleted a chain that is not there");
    if (refused == 0)
        return r; /* the batch as a whole: no rights, no nf_tables */
    return refused == last ? 0 : 1;
}

int nft_features_probe(const struct nft_feature *features, size_t n,
                       void (*on_missing)(const struct nft_feature *f, uint8_t family,
                                          const char *why, void *user),
                       void *user, struct err *reterr)
{
    static const uint8_t families[] = {NFPROTO_IPV4, NFPROTO_IPV6};
    AUTO(nft) struct nft *nft = NULL;
    int missing = 0;
    int r = nft_new(&nft, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(families); k++) {
            struct err why = {0};
            r = probe(nft, &features[i], families[k], &why);
            if (r < 0) {
                if (reterr)
                    *reterr = why;
                return r;
            }
            if (r == 0)
                continue;
            missing++;
            on_missing(&features[i], families[k], err_text(&why), user);
        }
    return missing;
}

struct missing_text {
    bool mesh;
    int n;
    const struct nft_feature *last;
    struct buf *text;
};

static void on_missing(const struct nft_feature *f, uint8_t family, const char *why, void *user)
{
    struct missing_text *m = user;
    (void)why;
    if (f->mesh && !m->mesh)
        return;
    m->n++;
    if (m->last == f) { /* IPv4 lacks it, and so does IPv6 */
        buf_addf(m->text, " and IPv6");
        return;
    }
    m->last = f;
    buf_addf(m->text, "%s%s (%s, in Linux since %s) for %s", m->text->n ? "; " : "", f->name,
             f->option, f->since, family == NFPROTO_IPV4 ? "IPv4" : "IPv6");
}

int nft_features_missing_text(bool mesh, struct buf *ret, struct err *reterr)
{
    struct missing_text m = {.mesh = mesh, .text = ret};
    int r = nft_features_probe(nft_features, nft_features_n, on_missing, &m, reterr);
    return r < 0 ? r : m.n;
}
