/* fuzz-layer: kube
 * Single values that people write: quantities, times, durations, addresses, prefixes. What is
 * accepted has a canonical form, and the canonical form is its own. */
#include <stdlib.h>

#include "base/addr.h"
#include "base/time.h"
#include "kube/quantity.h"
#include "kube/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_quantity(struct str in)
{
    char once[QUANTITY_TEXT_BYTES], twice[QUANTITY_TEXT_BYTES], thrice[QUANTITY_TEXT_BYTES];
    int64_t value;
    (void)!quantity_value(in, &value);
    (void)!quantity_milli(in, &value);
    if (quantity_canonical(in, once) < 0)
        return;
    /* 62.5Ki is 64000, and that is 64k: a binary one may become a decimal one first, as in Go. */
    if (quantity_canonical(str_from(once), twice) < 0 ||
        quantity_canonical(str_from(twice), thrice) < 0 || !streq(twice, thrice))
        abort();
}

static void check_address(struct str in)
{
    struct ip ip, ip_again;
    struct prefix p, p_again;
    char text[IP_TEXT_BYTES], prefix[PREFIX_TEXT_BYTES];
    if (ip_parse(in, &ip) == 0 &&
        (ip_parse(str_from(ip_format(&ip, text)), &ip_again) < 0 || !ip_eq(&ip, &ip_again)))
        abort();
    if (prefix_parse(in, &p) == 0 &&
        (prefix_parse(str_from(prefix_format(&p, prefix)), &p_again) < 0 || p.len != p_again.len ||
         !ip_eq(&p.ip, &p_again.ip)))
        abort();
}

/* What nothing is wrong with is an address or a prefix. */
static void check_details(struct str in)
{
    struct ip ip;
    struct prefix p;
    if ((!legacy_ip_detail(in) || !strict_ip_detail(in) || !endpoint_ip_detail(in)) &&
        ip_parse(in, &ip) < 0)
        abort();
    if (!legacy_prefix_detail(in) && prefix_parse(in, &p) < 0)
        abort();
    if (in.n && !port_name_detail(in) && in.n > 15)
        abort();
}

static void check_time(struct str in)
{
    int64_t us, again;
    uint64_t ms;
    char text[28];
    (void)!time_parse_duration(in, &ms);
    if (time_parse_rfc3339(in, &us) < 0)
        return;
    time_format_rfc3339_micro(us, text);
    if (time_parse_rfc3339(str_from(text), &again) < 0 || again != us)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of(data, size);
    check_quantity(in);
    check_address(in);
    check_details(in);
    check_time(in);
    return 0;
}
