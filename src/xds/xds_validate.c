/* The table of constraints and their checks. Immutable after the first use; any thread. */
#include "xds/xds_validate.h"

#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/pb_msg.h"
#include "codec/pb_time.h"

#define RULE_NO_LIMIT INT64_MAX

enum rule_kind {
    RULE_OF_MESSAGE,   /* the rules of this message follow */
    RULE_REQUIRED,     /* a message that must be there */
    RULE_ONE_OF,       /* one member of the field's oneof must be set */
    RULE_NOT_EMPTY,    /* a string or bytes */
    RULE_MAX_BYTES,    /* high */
    RULE_ITEMS,        /* low to high of them */
    RULE_RANGE,        /* a number, or a wrapper that is there */
    RULE_DURATION,     /* in nanoseconds, of one that is there */
    RULE_HEADER_NAME,  /* a token, ':' before it allowed; empty is allowed */
    RULE_HEADER_VALUE, /* no CR, LF */
    RULE_TRUE,         /* false means nothing here */
    RULE_NOT_VALUE,    /* low */
};

struct rule {
    union {
        const char *field;
        const ProtobufCMessageDescriptor *message;
    };
    int64_t low, high;
    enum rule_kind kind;
};

#define RULES(symbol) extern const ProtobufCMessageDescriptor symbol##__descriptor;
#define RULE(field, kind, low, high)
#include "xds/xds_validate.def"

static const struct rule rules[] = {
#define RULES(symbol)                {{.message = &symbol##__descriptor}, 0, 0, RULE_OF_MESSAGE},
#define RULE(field, kind, low, high) {{#field}, low, high, RULE_##kind},
#include "xds/xds_validate.def"
};

/* Rules' messages, sorted by descriptor; fields as indexes into their descriptor. */
static uint16_t by_message[ARRAY_LEN(rules)], field_of[ARRAY_LEN(rules)];
static size_t messages;

static int compare(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)rules[*(const uint16_t *)a].message;
    uintptr_t y = (uintptr_t)rules[*(const uint16_t *)b].message;
    return (x > y) - (x < y);
}

static void make_indexes(void)
{
    const ProtobufCMessageDescriptor *d = NULL;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].kind == RULE_OF_MESSAGE) {
            d = rules[i].message;
            by_message[messages++] = (uint16_t)i;
            continue;
        }
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(d, rules[i].field);
        ASSERT(f);
        field_of[i] = (uint16_t)(f - d->fields);
    }
    qsort(by_message, messages, sizeof(*by_message), compare);
}

/* The first rule of a message; past the end: it has none. */
static size_t first_rule(const ProtobufCMessageDescriptor *d)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t from = 0, to;
    pthread_once(&once, make_indexes);
    to = messages;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const ProtobufCMessageDescriptor *at = rules[by_message[middle]].message;
        if (at == d)
            return (size_t)by_message[middle] + 1;
        if ((uintptr_t)at < (uintptr_t)d)
            from = middle + 1;
        else
            to = middle;
    }
    return ARRAY_LEN(rules);
}

struct subject {
    const ProtobufCMessage *message;
    const ProtobufCFieldDescriptor *field;
    struct pb_path *path;
    struct xds_report *report;
};

#define refuse(s, ...) xds_report_add((s)->report, XDS_REFUSE, (s)->path->text, __VA_ARGS__)

/* ---- single values ---- */

static void check_text(const struct subject *s, const struct rule *rule, struct str text)
{
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "!#$%&'*+-.^_`|~";
    if (rule->kind == RULE_NOT_EMPTY && !text.n)
        refuse(s, "must not be empty");
    if (rule->kind == RULE_MAX_BYTES && text.n > (uint64_t)rule->high)
        refuse(s, "must have at most %lld bytes, not %zu", (long long)rule->high, text.n);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (rule->kind == RULE_HEADER_NAME && !(c && strchr(token, c)) && !(c == ':' && i == 0)) {
            refuse(s, "must be the name of a header");
            return;
        }
        if (rule->kind == RULE_HEADER_VALUE && (c == '\r' || c == '\n' || !c)) {
            refuse(s, "must be the value of a header, of one line");
            return;
        }
    }
}

static void check_number(const struct subject *s, const struct rule *rule, double v)
{
    long long low = rule->low, high = rule->high;
    if (rule->kind == RULE_NOT_VALUE) {
        const ProtobufCEnumValue *e =
            s->field->type == PROTOBUF_C_TYPE_ENUM
                ? protobuf_c_enum_descriptor_get_value(s->field->descriptor, (int)low)
                : NULL;
        if (v == (double)low)
            refuse(s, "must not be %s", e ? e->name : "this value");
    } else if (v >= (double)low && (rule->high == RULE_NO_LIMIT || v <= (double)high)) {
        return;
    } else if (rule->high == RULE_NO_LIMIT) {
        refuse(s, "must be at least %lld, not %.15g", low, v);
    } else if (rule->low == 0) {
        refuse(s, "must be at most %lld, not %.15g", high, v);
    } else {
        refuse(s, "must be between %lld and %lld, not %.15g", low, high, v);
    }
}

static double number_at(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        return *(const double *)at;
    case PROTOBUF_C_TYPE_FLOAT:
        return (double)*(const float *)at;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (double)*(const uint64_t *)at;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return (double)*(const int64_t *)at;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return *(const uint32_t *)at;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_BOOL:
        return *(const int32_t *)at;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return 0;
}

static void check_value(const struct subject *s, const struct rule *rule,
                        const ProtobufCFieldDescriptor *f, const void *at)
{
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        check_text(s, rule, str_from(*(const char *const *)at));
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *b = at;
        check_text(s, rule, str_of(b->data, b->len));
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *wrapper = *(const ProtobufCMessage *const *)at;
        DASSERT(strncmp(wrapper->descriptor->name, "google.protobuf.", 16) == 0);
        f = &wrapper->descriptor->fields[0];
        check_value(s, rule, f, pb_value(wrapper, f, 0));
    } else {
        check_number(s, rule, number_at(f, at));
    }
}

/* ---- whole fields ---- */

static void check_values(const struct subject *s, const struct rule *rule)
{
    const ProtobufCFieldDescriptor *f = s->field;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        for (size_t i = 0; i < pb_count(s->message, f); i++) {
            size_t mark = pb_path_index(s->path, i);
            check_value(s, rule, f, pb_value(s->message, f, i));
            pb_path_back(s->path, mark);
        }
        return;
    }
    /* A plain scalar always has a value; a wrapper or a member of a oneof only where it is set. */
    if ((f->type == PROTOBUF_C_TYPE_MESSAGE || pb_in_oneof(f)) && !pb_is_set(s->message, f))
        return;
    check_value(s, rule, f, pb_value(s->message, f, 0));
}

static void check_items(const struct subject *s, const struct rule *rule)
{
    size_t n = pb_count(s->message, s->field);
    if (n < (uint64_t)rule->low)
        refuse(s, "must have at least %lld items, not %zu", (long long)rule->low, n);
    if (rule->high != RULE_NO_LIMIT && n > (uint64_t)rule->high)
        refuse(s, "must have at most %lld items, not %zu", (long long)rule->high, n);
}

/* Nanoseconds, the largest where they are more. */
static int64_t nanoseconds(const ProtobufCMessage *duration)
{
    const ProtobufCMessageDescriptor *d = duration->descriptor;
    int64_t seconds = *(const int64_t *)pb_value(duration, pb_field_of(d, 1), 0), sum;
    int32_t nanos = *(const int32_t *)pb_value(duration, pb_field_of(d, 2), 0);
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &sum) ||
        __builtin_add_overflow(sum, nanos, &sum))
        return seconds < 0 ? INT64_MIN : INT64_MAX - 1;
    return sum;
}

static void format_nanoseconds(int64_t v, char *ret, size_t size)
{
    if (pb_duration_format(v / 1000000000, (int32_t)(v % 1000000000), ret, size) < 0)
        snprintf(ret, size, "?");
}

static void check_duration(const struct subject *s, const struct rule *rule)
{
    char low[48] = "", high[48] = "";
    bool beyond = rule->low % 1000 == 1; /* "longer than", as the table writes it */
    if (!pb_is_set(s->message, s->field))
        return;
    int64_t v = nanoseconds(pb_message(s->message, s->field, 0));
    format_nanoseconds(rule->low - beyond, low, sizeof(low));
    format_nanoseconds(rule->high, high, sizeof(high));
    if (v < rule->low)
        refuse(s, beyond ? "must be longer than %s" : "must be at least %s", low);
    else if (rule->high != RULE_NO_LIMIT && v > rule->high)
        refuse(s, "must be at most %s", high);
}

/* Told at the message: "one of prefix, path must be set". */
static void check_one_of(const struct subject *s)
{
    const ProtobufCMessageDescriptor *d = s->message->descriptor;
    char names[400] = "";
    size_t n = 0;
    if (pb_oneof_case(s->message, s->field))
        return;
    for (unsigned i = 0; i < d->n_fields && n < sizeof(names); i++)
        if (pb_in_oneof(&d->fields[i]) &&
            d->fields[i].quantifier_offset == s->field->quantifier_offset)
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "",
                                  d->fields[i].name);
    refuse(s, strchr(names, ',') ? "one of %s must be set" : "%s must be set", names);
}

static void check_rule(const struct subject *s, const struct rule *rule)
{
    switch (rule->kind) {
    case RULE_REQUIRED:
        /* Of a oneof's members, the chosen one alone. */
        if (!pb_is_set(s->message, s->field) && !pb_in_oneof(s->field))
            refuse(s, "is required");
        break;
    case RULE_ITEMS:
        check_items(s, rule);
        break;
    case RULE_DURATION:
        check_duration(s, rule);
        break;
    case RULE_TRUE:
        if (pb_count(s->message, s->field) > 0 &&
            !*(const protobuf_c_boolean *)pb_value(s->message, s->field, 0))
            refuse(s, "must be true if it is set");
        break;
    case RULE_NOT_EMPTY:
    case RULE_MAX_BYTES:
    case RULE_RANGE:
    case RULE_HEADER_NAME:
    case RULE_HEADER_VALUE:
    case RULE_NOT_VALUE:
        check_values(s, rule);
        break;
    case RULE_OF_MESSAGE:
    case RULE_ONE_OF:
        break;
    }
}

void xds_validate(const ProtobufCMessage *m, struct pb_path *path, struct xds_report *r)
{
    for (size_t i = first_rule(m->descriptor);
         i < ARRAY_LEN(rules) && rules[i].kind != RULE_OF_MESSAGE; i++) {
        struct subject s = {m, &m->descriptor->fields[field_of[i]], path, r};
        if (rules[i].kind == RULE_ONE_OF) {
            check_one_of(&s);
            continue;
        }
        size_t mark = pb_path_field(path, s.field->name);
        check_rule(&s, &rules[i]);
        pb_path_back(path, mark);
    }
}
