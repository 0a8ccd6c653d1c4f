/* fuzz-layer: agent
 * Heartbeats from the network: whatever comes, by our key or not, is read within its bounds; what
 * is believed is written back as it was. The first byte says whether the signature is put right. */
#include <stdlib.h>

#include "agent/heartbeat.h"
#include "net/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str key = STR("sixteen bytes at least");
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf back = {0};
    struct heartbeat h;
    uint8_t signature[SHA256_BYTES];
    if (!size)
        return 0;
    buf_add(&b, data + 1, size - 1);
    if (b.failed)
        return 0;
    if (data[0] & 1 && b.n >= sizeof(signature)) {
        hmac_sha256(key, str_of(b.p, b.n - sizeof(signature)), signature);
        memcpy(b.p + b.n - sizeof(signature), signature, sizeof(signature));
    }
    if (heartbeat_decode(buf_str(&b), key, &h) < 0)
        return 0;
    heartbeat_encode(&h, key, &back);
    if (!back.failed && (back.n != b.n || h.node.n > HEARTBEAT_NAME_MAX ||
                         (b.p[4] <= 1 && memcmp(back.p, b.p, b.n) != 0)))
        abort();
    return 0;
}
