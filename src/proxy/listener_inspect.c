/* Peeks at a socket. What a PROXY head takes is consumed; all else is left for who comes next. */
#include "proxy/listener_inspect.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "codec/http_inspect.h"
#include "codec/proxy_protocol.h"
#include "codec/tls_hello.h"

enum {
    PEEK_BYTES = TLS_HELLO_BYTES_MAX + 1024, /* with the heads of the records */
    ORIGINAL_DST = 80, /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST: their headers exclude netinet's */
};

/* How much there is, copied to `to`; -EAGAIN: nothing yet; -ECONNRESET: nothing will come. */
static ssize_t peek(int fd, char *to, size_t room)
{
    ssize_t n;
    do
        n = recv(fd, to, room, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    return n < 0 && errno == EAGAIN ? -EAGAIN : -ECONNRESET;
}

/* Where the client meant to go before a rule of the kernel sent it here. */
static void original_dst(int fd, struct inspect_facts *f)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getsockopt(fd, IPPROTO_IP, ORIGINAL_DST, &sa, &len) < 0) {
        len = sizeof(sa);
        if (getsockopt(fd, IPPROTO_IPV6, ORIGINAL_DST, &sa, &len) < 0)
            return; /* it came as it was sent */
    }
    struct ip ip;
    uint16_t port;
    if (ip_from_sockaddr((struct sockaddr *)&sa, &ip, &port) < 0)
        return;
    f->names.local = ip;
    f->names.local_port = port;
    f->restored = true;
}

static int proxy_protocol(int fd, const struct listener_config *l, struct inspect_facts *f)
{
    char bytes[PROXY_PROTOCOL_BYTES_MAX];
    struct proxy_protocol p;
    ssize_t n = peek(fd, bytes, sizeof(bytes));
    if (n < 0)
        return (int)n;
    int r = proxy_protocol_read(str_of(bytes, (size_t)n), &p);
    if (r == 0)
        return -EAGAIN;
    if (r == -ENOENT && l->proxy_optional)
        return 0;
    if (r != 1 || (p.version == 1 ? l->proxy_no_1 : l->proxy_no_2))
        return -EPROTO;
    if (recv(fd, bytes, p.bytes, MSG_DONTWAIT) != (ssize_t)p.bytes)
        return -ECONNRESET;
    if (p.local)
        return 0;
    f->names.peer = p.source;
    f->names.peer_port = p.source_port;
    f->names.local = p.destination;
    f->names.local_port = p.destination_port;
    f->restored = true;
    return 0;
}

static void keep_hello(const struct tls_hello *h, struct inspect_facts *f)
{
    f->tls = true;
    f->server_name_n = (uint8_t)MIN(h->server_name.n, (size_t)INSPECT_NAME_BYTES);
    for (size_t i = 0; i < f->server_name_n; i++) {
        char ch = h->server_name.p[i];
        f->server_name[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
    }
    if (h->protocols.n > INSPECT_PROTOCOLS_BYTES) {
        COUNT_IF(true, "a list of protocols (ALPN) that is too long to be matched");
        return;
    }
    f->protocols_n = (uint16_t)h->protocols.n;
    if (h->protocols.n)
        memcpy(f->protocols, h->protocols.p, h->protocols.n);
}

static int tls_inspector(int fd, struct inspect_facts *f)
{
    char bytes[PEEK_BYTES], room[TLS_HELLO_BYTES_MAX];
    struct tls_hello h;
    ssize_t n = peek(fd, bytes, sizeof(bytes));
    if (n < 0)
        return (int)n;
    int r = tls_hello_read(str_of(bytes, (size_t)n), room, &h);
    if (r == 1)
        keep_hello(&h, f);
    if (r == 0)
        return n == PEEK_BYTES ? -E2BIG : -EAGAIN;
    return r == -E2BIG ? r : 0; /* what is no TLS may match another chain */
}

static int http_inspector(int fd, struct inspect_facts *f)
{
    char bytes[HTTP_INSPECT_BYTES_MAX];
    struct str word;
    if (f->tls)
        return 0;
    ssize_t n = peek(fd, bytes, sizeof(bytes));
    if (n < 0)
        return (int)n;
    int r = http_inspect(str_of(bytes, (size_t)n), &word);
    if (r == 0)
        return -EAGAIN;
    if (r == 1) {
        f->protocols[0] = (char)word.n;
        memcpy(f->protocols + 1, word.p, word.n);
        f->protocols_n = (uint16_t)(word.n + 1);
    }
    return 0;
}

int inspect_run(int fd, const struct listener_config *l, struct inspect_facts *f)
{
    for (; f->next < l->n_filters; f->next++) {
        int r = 0;
        if (port_predicate_holds(l->disabled[f->next], f->restored ? f->names.local_port : l->port))
            continue;
        switch ((enum listener_filter)l->filters[f->next]) {
        case LISTENER_ORIGINAL_DST:
            original_dst(fd, f);
            break;
        case LISTENER_PROXY_PROTOCOL:
            r = proxy_protocol(fd, l, f);
            break;
        case LISTENER_TLS_INSPECTOR:
            r = tls_inspector(fd, f);
            break;
        case LISTENER_HTTP_INSPECTOR:
            r = http_inspector(fd, f);
            break;
        }
        if (r < 0)
            return r;
    }
    return 0;
}
