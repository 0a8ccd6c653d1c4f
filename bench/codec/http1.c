/* What reading and writing a head cost: a request of 357 bytes with 7 fields, as the proxies'
 * benchmark sends it.
 *
 *   http1 read|write TIMES
 *
 * Prints nanoseconds each; bench/proxy/count.py counts its instructions. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/time.h"
#include "codec/http1.h"
#include "codec/http1_head.h"

static const char request[] =
    "GET /products/catalogue/items?page=2&sort=price HTTP/1.1\r\n"
    "host: shop.example.test\r\n"
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) load/1.0 (fairlead bench)\r\n"
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "accept-language: en-GB,en;q=0.7\r\n"
    "accept-encoding: gzip, deflate, br\r\n"
    "x-forwarded-proto: https\r\n"
    "cookie: session=0123456789abcde\r\n"
    "\r\n";

static struct http_field fields[HTTP_FIELDS_MAX];

static size_t read_once(struct http_head *h)
{
    size_t scanned = 0;
    ssize_t n = http1_head_length(str_of(request, sizeof(request) - 1), &scanned);
    ASSERT(n == sizeof(request) - 1 &&
           http1_read_request(str_of(request, sizeof(request) - 1), h, NULL) == 0);
    return h->n;
}

/* With a hop's field taken out and one of ours put in, as a proxy does. */
static size_t write_once(struct http_head *h, struct chain *c)
{
    uint16_t n = h->n;
    ASSERT(http_head_add(h, HTTP_NAME_X_REQUEST_ID, STR("0123456789abcdef")) == 0);
    chain_done(c);
    ASSERT(http1_write_request(c, h, STR("")) == 0);
    h->n = n;
    return c->n;
}

int main(int argc, char **argv)
{
    struct http_head h = {.fields = fields, .cap = HTTP_FIELDS_MAX};
    AUTO_DONE(chain) struct chain c = {0};
    size_t sum = 0;
    _Static_assert(sizeof(request) - 1 == 357, "the request that figures are told of");
    if (argc != 3 || !strchr("rw", argv[1][0])) {
        fprintf(stderr, "usage: http1 read|write TIMES\n");
        return 64;
    }
    long times = atol(argv[2]);
    (void)read_once(&h);
    uint64_t begin = time_mono_us();
    for (long i = 0; i < times; i++) {
        sum += argv[1][0] == 'r' ? read_once(&h) : write_once(&h, &c);
        __asm__ volatile("" : : "r"(sum) : "memory");
    }
    uint64_t took = time_mono_us() - begin;
    printf("%s: %.1f ns\n", argv[1], (double)took * 1000 / (double)times);
    return sum > 0 ? 0 : 1;
}
