/* fuzz-layer: proxy
 * A sidecar's DNS: a resolv.conf, a table of names and a question, of which nothing is believed;
 * what is answered fits, and what is refused can be. */
#include <stdlib.h>

#include "proxy/dns_capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A part with its length in front. */
static struct str part(const uint8_t **data, size_t *size)
{
    size_t n = *size ? *(*data)++ : 0;
    *size -= *size ? 1 : 0;
    n = n < *size ? n : *size;
    struct str s = str_of((const char *)*data, n);
    *data += n;
    *size -= n;
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct name_table names = {0};
    struct resolv_conf conf;
    struct dns_query q;
    struct str question;
    AUTO_DONE(buf) struct buf answer = {0}, refused = {0}, refusal = {0};
    resolv_conf_parse(part(&data, &size), &conf);
    for (int i = 0; i < 2; i++) {
        struct xds_item item = {STR("x"), STR("1"), part(&data, &size), false, NULL};
        name_table_update(&names,
                          &(struct xds_update){.type = XDS_NAMES, .items = &item, .n_items = 1},
                          &refused);
    }
    struct str message = str_of((const char *)data, size);
    if (dns_query_parse(message, &q) == 0) {
        if (dns_question_of(message, &question) < 0 || !str_eq(question, q.question))
            abort();
        if (dns_capture_answer(&names, &conf, &q, q.udp_bytes, &answer) &&
            (answer.n > q.udp_bytes || answer.n < 12))
            abort();
    }
    dns_refuse(message, DNS_SERVFAIL, &refusal);
    if (refusal.n > 12 + DNS_NAME_BYTES + 8)
        abort();
    name_table_done(&names);
    resolv_conf_done(&conf);
    return 0;
}
