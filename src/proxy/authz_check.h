#pragma once
/* envoy.service.auth.v3 as bytes: what another server is told of a request, and what it says. Pure;
 * any thread. */

#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "codec/http_head.h"

enum { AUTHZ_FIELDS_MAX = 1000 }; /* of one kind in an answer */

struct authz_peer {
    struct ip ip; /* family 0: not known */
    uint16_t port;
    struct str principal; /* of its certificate; empty: none */
};

/* What a request's fields are told as; lower case. The fields of one name are one text. */
struct authz_field {
    struct str name, value;
};

struct authz_question {
    struct authz_peer source, destination;
    int64_t now_us;
    uint64_t id;
    struct str method, path, host, scheme, protocol;
    int64_t size; /* -1: not known */
    const struct authz_field *fields;
    size_t n_fields;
    struct str body; /* .p NULL: it is not told */
    bool raw;        /* the body is bytes */
};

/* Appends a CheckRequest. */
void authz_question_encode(const struct authz_question *q, struct buf *to);

enum authz_way {
    AUTHZ_SET,
    AUTHZ_APPEND,    /* also where there is none */
    AUTHZ_APPEND_TO, /* where there is one */
    AUTHZ_ADD_IF_ABSENT,
    AUTHZ_SET_IF_PRESENT,
};

struct authz_change {
    struct http_header field;
    enum authz_way way;
};

struct authz_answer {
    bool allows;
    uint16_t status; /* it does not: for the client */
    struct str body;
    struct authz_change *fields; /* of the request; of the answer to the client, if it does not */
    struct authz_change *answer; /* of the endpoint's answer */
    struct str *removed;         /* of the request */
    size_t n_fields, n_answer, n_removed;
};

/* A CheckResponse; what it points at lives in the arena. -EBADMSG: it cannot be heeded as it is. */
int authz_answer_decode(struct str message, struct arena *a, struct authz_answer *ret) NODISCARD;
