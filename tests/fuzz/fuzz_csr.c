/* Requests for certificates: whatever stands there, what is signed is for the caller alone.
 * fuzz-layer: control */
#include <stdlib.h>

#include "control/ca.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ca *the_ca(void)
{
    static struct ca *ca;
    if (ca)
        return ca;
    const struct tls_cert_request r = {.common_name = "root", .is_ca = true, .days = 10};
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    if (tls_cert_issue(&r, STR(""), STR(""), &cert, &key, NULL) < 0 ||
        ca_new(&(struct ca_material){buf_str(&cert), buf_str(&key), buf_str(&cert)},
               "cluster.local", &ca, NULL) < 0)
        abort();
    return ca;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_DONE(ca_answer) struct ca_answer answer = {0};
    struct err err = {0};
    int64_t begin, end;
    int r = ca_sign(the_ca(), STR("ns"), STR("name"), str_of(data, size), 3600, &answer, &err);
    if (r < 0 && (!err.code || answer.certificates.n))
        abort();
    if (r == 0 &&
        (answer.certificates.n != 2 ||
         tls_cert_times(buf_str(&answer.certificates.v[0]), &begin, &end) < 0 || end <= begin))
        abort();
    return 0;
}
