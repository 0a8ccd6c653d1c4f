/* fuzz-layer: codec
 * ARP and neighbour solicitations from the wire: what is understood is written back as it was. */
#include <stdlib.h>

#include "codec/arp.h"
#include "codec/ndp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arp a;
    struct ndp_solicitation s;
    uint8_t back[ARP_BYTES], out[NDP_ADVERTISEMENT_BYTES];
    if (arp_parse(str_of(data, size), &a) == 0) {
        arp_format(&a, back);
        if (memcmp(back, data, sizeof(back)) != 0)
            abort();
    }
    if (ndp_parse_solicitation(str_of(data, size), &s) < 0)
        return 0;
    const struct ndp_advertisement answer = {s.target, s.source, s.target, {2}, true, true};
    ndp_format_advertisement(&answer, out);
    if (s.target.bytes[0] == 0xff || memcmp(out + 48, s.target.bytes, 16) != 0)
        abort();
    return 0;
}
