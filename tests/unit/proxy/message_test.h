#pragma once
/* Messages from JSON, heads from text. */

#include "codec/http1_head.h"
#include "codec/pb_json.h"
#include "test.h"
#include "xds/xds_types.h"

/* JSON as the tests write it: ' stands for ". */
static const ProtobufCMessage *message_from(const char *text, const ProtobufCMessageDescriptor *d,
                                            struct arena *a)
{
    AUTO_CHARS char *json = xstrdup(text);
    json_t *j = NULL;
    ProtobufCMessage *m = NULL;
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct err err = {0};
    if (json_parse(str_from(json), 0, NULL, &j, &err) < 0)
        fail_msg("%s: %s", err_text(&err), json);
    if (pb_json_parse(j, d, &xds_json_types, a, &m, NULL, &err) < 0)
        fail_msg("%s: %s", err_text(&err), json);
    json_decref(j);
    return m;
}

struct asked {
    struct http_field fields[32];
    struct http_head head;
    char text[1024];
};

/* "GET /path HTTP/1.1\r\n…" without its last empty line. */
static struct http_head *ask(struct asked *a, const char *method, const char *host,
                             const char *path, const char *fields)
{
    int n = snprintf(a->text, sizeof(a->text), "%s %s HTTP/1.1\r\nhost: %s\r\n%s\r\n", method, path,
                     host, fields);
    a->head = (struct http_head){.fields = a->fields, .cap = 32};
    assert_ok(http1_read_request(str_of(a->text, (size_t)n), &a->head, NULL));
    return &a->head;
}
