/* OTLP. Numbers are the fields' of the .proto files. */
#include "proxy/otlp.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2 };

static void add_varint(struct buf *b, uint64_t n)
{
    for (; n >= 128; n >>= 7)
        buf_add_u8(b, (uint8_t)(n | 128));
    buf_add_u8(b, (uint8_t)n);
}

static void add_key(struct buf *b, unsigned field, unsigned type)
{
    add_varint(b, field << 3 | type);
}

static void add_bytes(struct buf *b, unsigned field, struct str s)
{
    add_key(b, field, BYTES);
    add_varint(b, s.n);
    buf_add_str(b, s);
}

static void add_fixed64(struct buf *b, unsigned field, uint64_t n)
{
    add_key(b, field, FIXED64);
    for (int i = 0; i < 8; i++)
        buf_add_u8(b, (uint8_t)(n >> (8 * i)));
}

/* KeyValue{key = 1, value = 2: AnyValue{string_value = 1}} */
static void add_pair(struct buf *b, unsigned field, struct str name, struct str value)
{
    AUTO_DONE(buf) struct buf any = {0}, pair = {0};
    add_bytes(&any, 1, value);
    add_bytes(&pair, 1, name);
    add_bytes(&pair, 2, buf_str(&any));
    add_bytes(b, field, buf_str(&pair));
}

void otlp_attribute(struct buf *to, struct str name, struct str value)
{
    add_pair(to, 9, name, value); /* Span.attributes */
}

void otlp_span(struct buf *to, const struct otlp_span *s)
{
    AUTO_DONE(buf) struct buf b = {0};
    add_bytes(&b, 1, str_of(s->trace_id, 16));
    add_bytes(&b, 2, str_of(s->span_id, 8));
    if (s->state.n)
        add_bytes(&b, 3, s->state);
    if (s->parent_id)
        add_bytes(&b, 4, str_of(s->parent_id, 8));
    add_bytes(&b, 5, s->name);
    add_key(&b, 6, VARINT);
    add_varint(&b, s->kind);
    add_fixed64(&b, 7, s->begin_ns);
    add_fixed64(&b, 8, s->end_ns);
    buf_add_str(&b, s->attributes);
    if (s->error) { /* Status{code = 3: ERROR} */
        static const char error[] = {3 << 3 | VARINT, 2};
        add_bytes(&b, 15, str_of(error, sizeof(error)));
    }
    add_bytes(to, 2, buf_str(&b)); /* ScopeSpans.spans */
}

void otlp_report(struct buf *to, struct str service, struct str spans)
{
    AUTO_DONE(buf) struct buf resource = {0}, scope = {0}, scope_spans = {0}, whole = {0};
    add_pair(&resource, 1, STR("service.name"), service);
    add_pair(&resource, 1, STR("telemetry.sdk.name"), STR("fairlead"));
    add_bytes(&scope, 1, STR("fairlead-proxy"));
    add_bytes(&scope, 2, STR(FAIRLEAD_VERSION));
    add_bytes(&scope_spans, 1, buf_str(&scope));
    buf_add_str(&scope_spans, spans);
    add_bytes(&whole, 1, buf_str(&resource));
    add_bytes(&whole, 2, buf_str(&scope_spans));
    add_bytes(to, 1, buf_str(&whole)); /* ExportTraceServiceRequest.resource_spans */
}
