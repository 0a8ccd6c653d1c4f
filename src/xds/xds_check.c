/* The walk of a message against the tables: support, constraints, extensions. It descends into what
 * is USED alone: of a refused or ignored field the contents do not matter. Depth is bounded across
 * Anys. Owns nothing beyond the call. */
#include "xds/xds_check.h"

#include <errno.h>

#include "base/assert.h"
#include "codec/pb_time.h"
#include "xds/xds_validate.h"

struct walk {
    struct pb_path path;
    struct xds_report *report;
    unsigned depth, anys; /* nested around here */
};

/* What the place of a message says about the extension in it. */
struct place {
    uint32_t slot; /* 0: any */
    bool optional;
};

#define refuse(w, ...) xds_report_add((w)->report, XDS_REFUSE, (w)->path.text, __VA_ARGS__)
#define warn(w, ...)   xds_report_add((w)->report, XDS_WARN, (w)->path.text, __VA_ARGS__)

static void check_message(struct walk *w, const ProtobufCMessage *m, struct place place);

/* ---- extensions ---- */

static void check_contents(struct walk *w, const ProtobufCMessageDescriptor *d, struct str bytes)
{
    AUTO(arena) struct arena *a = arena_new((size_t)XDS_CHECK_MEMORY_MAX >> MIN(w->anys, 16u));
    ProtobufCMessage *m;
    struct err e = {0};
    if (pb_unpack(d, bytes, a, &m, &e) < 0) {
        refuse(w, "does not hold a %s: %s", d->name, err_text(&e));
        return;
    }
    w->anys++;
    check_message(w, m, (struct place){0});
    w->anys--;
}

static void check_any(struct walk *w, const ProtobufCMessage *any, struct place place)
{
    const char *url = *(const char *const *)pb_value(any, pb_field_of(any->descriptor, 1), 0);
    const ProtobufCBinaryData *value = pb_value(any, pb_field_of(any->descriptor, 2), 0);
    const struct xds_extension *e = xds_extension_find(str_from(url));
    enum xds_state state = place.optional ? XDS_WARN : XDS_REFUSE;
    if (str_empty(url)) {
        refuse(w, "must have a type URL: %s", xds_slot_word(place.slot));
    } else if (!e) {
        xds_report_add(w->report, state, w->path.text, "extension %.300s is not implemented%s", url,
                       place.optional ? ": it is left out" : "");
    } else if (place.slot && !(place.slot & e->slots)) {
        refuse(w, "%s is %s: expected %s", e->message->name, xds_slot_word(e->slots),
               xds_slot_word(place.slot));
    } else if (e->state != XDS_USED) {
        xds_report_add(w->report, e->state == XDS_WARN ? XDS_WARN : state, w->path.text,
                       "extension %s is not implemented%s%s", e->message->name,
                       *e->note ? ": " : "", e->note);
    } else {
        check_contents(w, e->message, str_of(value->data, value->len));
    }
}

/* ---- values ---- */

static void check_enum(struct walk *w, const ProtobufCMessageDescriptor *d,
                       const ProtobufCFieldDescriptor *f, const void *at)
{
    const ProtobufCEnumDescriptor *e = f->descriptor;
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(e, *(const int *)at);
    const struct xds_value *row = v ? xds_value_find(d, f->name, v->name) : NULL;
    if (!v)
        refuse(w, "%d is no value of %s", *(const int *)at, e->name);
    else if (row && row->state != XDS_USED)
        xds_report_add(w->report, row->state, w->path.text, "%s %s: %s", v->name,
                       row->state == XDS_WARN ? "has no effect" : "is not implemented", row->note);
}

static void check_duration(struct walk *w, const ProtobufCMessage *m)
{
    char text[48];
    const ProtobufCFieldDescriptor *f = m->descriptor->fields;
    if (pb_duration_format(*(const int64_t *)pb_value(m, &f[0], 0),
                           *(const int32_t *)pb_value(m, &f[1], 0), text, sizeof(text)) < 0)
        refuse(w, "is out of range for a Duration");
}

static void check_value(struct walk *w, const ProtobufCMessageDescriptor *d,
                        const ProtobufCFieldDescriptor *f, const void *at, struct place place)
{
    if (f->type == PROTOBUF_C_TYPE_ENUM) {
        check_enum(w, d, f, at);
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *m = *(const ProtobufCMessage *const *)at;
        if (m)
            check_message(w, m, place);
    }
}

static void check_entry(struct walk *w, const ProtobufCMessage *entry, struct place place)
{
    const ProtobufCFieldDescriptor *f = entry->descriptor->fields;
    struct str key = {NULL, 0};
    if (f->type == PROTOBUF_C_TYPE_STRING)
        key = str_from(*(const char *const *)pb_value(entry, f, 0));
    size_t mark = pb_path_key(&w->path, key);
    check_value(w, entry->descriptor, &f[1], pb_value(entry, &f[1], 0), place);
    pb_path_back(&w->path, mark);
}

static void check_values(struct walk *w, const ProtobufCMessage *m,
                         const ProtobufCFieldDescriptor *f, struct place place)
{
    bool is_map = pb_is_map(m->descriptor, f), repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
    if (f->type != PROTOBUF_C_TYPE_ENUM && f->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    for (size_t i = 0; i < pb_count(m, f); i++) {
        if (is_map) {
            check_entry(w, pb_message(m, f, i), place);
            continue;
        }
        size_t mark = repeated ? pb_path_index(&w->path, i) : w->path.n;
        check_value(w, m->descriptor, f, pb_value(m, f, i), place);
        pb_path_back(&w->path, mark);
    }
}

/* ---- messages ---- */

/* Messages that only carry an extension: what their place says holds for it. */
static bool is_carrier(const ProtobufCMessageDescriptor *d)
{
    return pb_type_is(d, "envoy.config.core.v3.TypedExtensionConfig") ||
           pb_type_is(d, "xds.core.v3.TypedExtensionConfig") ||
           pb_type_is(d, "envoy.config.core.v3.TransportSocket");
}

static bool is_optional(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "is_optional");
    return f && f->type == PROTOBUF_C_TYPE_BOOL && pb_is_set(m, f);
}

static void check_field(struct walk *w, const ProtobufCMessage *m,
                        const ProtobufCFieldDescriptor *f, const struct xds_row *row,
                        struct place place)
{
    const char *sep = *row->note ? ": " : "";
    if (row->state == XDS_REFUSE)
        refuse(w, "is not implemented%s%s", sep, row->note);
    else if (row->state == XDS_WARN)
        warn(w, "has no effect%s%s", sep, row->note);
    else
        check_values(w, m, f, place);
}

static void check_unknown_fields(struct walk *w, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        warn(w, "unknown field %u of %s", m->unknown_fields[i].tag, m->descriptor->name);
}

static void check_fields(struct walk *w, const ProtobufCMessage *m, const struct xds_row *row,
                         struct place place)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    bool optional = is_optional(m);
    if (!is_carrier(d))
        place = (struct place){.optional = optional};
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        struct place inner = place;
        if (!pb_is_set(m, f))
            continue;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && !is_carrier(d))
            inner.slot = xds_slot_of(d, f->name);
        size_t mark = pb_path_field(&w->path, f->name);
        check_field(w, m, f, &row[i], inner);
        pb_path_back(&w->path, mark);
    }
}

static void check_message(struct walk *w, const ProtobufCMessage *m, struct place place)
{
    const struct xds_row *row;
    if (w->depth >= PB_DEPTH_MAX) {
        refuse(w, "nested deeper than %d messages", PB_DEPTH_MAX);
        return;
    }
    w->depth++;
    if (strncmp(m->descriptor->name, "google.protobuf.", 16) == 0) {
        check_unknown_fields(w, m);
        if (pb_type_is(m->descriptor, "google.protobuf.Any"))
            check_any(w, m, place);
        else if (pb_type_is(m->descriptor, "google.protobuf.Duration"))
            check_duration(w, m);
    } else {
        row = xds_support_find(m->descriptor);
        ASSERT(row); /* a test holds the table against all descriptors */
        if (row->kind == XDS_ROW_MESSAGE) {
            check_unknown_fields(w, m);
            check_fields(w, m, row + 1, place);
            xds_validate(m, &w->path, w->report);
        }
    }
    w->depth--;
}

int xds_check(const ProtobufCMessage *m, struct xds_report *r)
{
    struct walk w = {.report = r};
    size_t before = r->refused;
    check_message(&w, m, (struct place){0});
    return r->refused > before ? -EINVAL : 0;
}

int xds_part_unpack(const ProtobufCMessageDescriptor *d, struct str bytes, const struct pb_path *at,
                    struct arena *a, ProtobufCMessage **ret, struct xds_report *r,
                    struct err *reterr)
{
    struct walk w = {.path = *at, .report = r};
    size_t before = r->refused;
    ProtobufCMessage *m;
    int code = pb_unpack(d, bytes, a, &m, reterr);
    if (code < 0) {
        if (at->n)
            err_prefix(reterr, at->text, NULL);
        return code;
    }
    check_message(&w, m, (struct place){0});
    if (r->refused > before)
        return xds_report_err(r, reterr);
    *ret = m;
    return 0;
}

int xds_resource_unpack(enum xds_resource type, struct str bytes, struct arena *a,
                        ProtobufCMessage **ret, struct xds_report *r, struct err *reterr)
{
    static const struct pb_path whole;
    ASSERT(!r->warned && !r->refused);
    return xds_part_unpack(xds_resource_type(type)->message, bytes, &whole, a, ret, r, reterr);
}

int xds_any_unpack(const Google__Protobuf__Any *any, struct arena *a, ProtobufCMessage **ret,
                   struct err *reterr)
{
    const struct xds_extension *e = xds_extension_find(str_from(any->type_url));
    if (!e || e->state != XDS_USED)
        return err_set(reterr, -ENOENT, NULL, "extension %.300s is not implemented", any->type_url);
    return pb_unpack(e->message, str_of(any->value.data, any->value.len), a, ret, reterr);
}
