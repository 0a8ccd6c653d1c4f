/* The table of what is supported against the messages of proto/, both ways. */
#include "test.h"

#include <dirent.h>
#include <envoy/config/listener/v3/listener_components.pb-c.h>
#include <envoy/config/route/v3/route_components.pb-c.h>
#include <errno.h>
#include <google/protobuf/duration.pb-c.h>
#include <stdio.h>

#include "base/buf.h"
#include "codec/pb_msg.h"
#include "xds/xds_types.h"

/* What the rows say themselves, without the index. */
static const struct said {
    const char *full_name; /* of a message */
    const char *field;
} said[] = {
#define SECTION(title)
#define MESSAGE(symbol, full_name)      {full_name, NULL},
#define OPAQUE(symbol, full_name, note) {full_name, NULL},
#define FIELD(field, state, note)       {NULL, #field},
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"
};

#define SECTION(title)
#define MESSAGE(symbol, full_name)      extern const ProtobufCMessageDescriptor symbol##__descriptor;
#define OPAQUE(symbol, full_name, note) MESSAGE(symbol, full_name)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"

static const struct said_slot {
    const ProtobufCMessageDescriptor *message;
    const char *field;
} said_slots[] = {
#define SECTION(title)
#define MESSAGE(symbol, full_name)
#define OPAQUE(symbol, full_name, note)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot) {&symbol##__descriptor, #field},
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"
};

static bool is_message(const struct xds_row *row)
{
    return row->kind == XDS_ROW_MESSAGE || row->kind == XDS_ROW_OPAQUE;
}

static void test_every_row_is_a_field(void **state)
{
    size_t n, at = 0;
    const struct xds_row *rows = xds_support_rows(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind == XDS_ROW_SECTION)
            continue;
        if (rows[i].kind == XDS_ROW_FIELD)
            fail_msg("%s: more rows than the message before it has fields", rows[i].name);
        const ProtobufCMessageDescriptor *d = rows[i].message;
        assert_string_equal(said[at++].full_name, d->name);
        assert_ptr_equal(xds_support_find(d), &rows[i]);
        assert_ptr_equal(xds_support_type(str_from(d->name)), d);
        if (rows[i].kind == XDS_ROW_OPAQUE) {
            assert_int_equal(d->n_fields, 0);
            assert_true(*rows[i].note);
        }
        for (unsigned k = 0; k < d->n_fields; k++, i++) {
            if (i + 1 >= n || rows[i + 1].kind != XDS_ROW_FIELD ||
                strcmp(rows[i + 1].name, d->fields[k].name) != 0)
                fail_msg("%s: no row for %s, or out of order", d->name, d->fields[k].name);
            assert_string_equal(said[at++].field, d->fields[k].name);
        }
    }
    assert_int_equal(at, ARRAY_LEN(said));
}

/* Messages that rows name are in the table themselves; of what is REFUSED or WARNED, too: JSON has
 * to read it. */
static void test_fields_lead_into_the_table(void **state)
{
    size_t n;
    const struct xds_row *rows = xds_support_rows(&n);
    (void)state;
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; is_message(&rows[i]) && k < rows[i].message->n_fields; k++) {
            const ProtobufCFieldDescriptor *f = &rows[i].message->fields[k];
            const ProtobufCMessageDescriptor *d = f->descriptor;
            if (f->type == PROTOBUF_C_TYPE_MESSAGE && pb_is_map(rows[i].message, f)) {
                f = &d->fields[1];
                d = f->descriptor;
            }
            if (f->type == PROTOBUF_C_TYPE_MESSAGE &&
                strncmp(d->name, "google.protobuf.", 16) != 0 && !xds_support_find(d))
                fail_msg("%s.%s: %s is not in the table", rows[i].message->name, f->name, d->name);
        }
}

/* Full names of the messages that a .proto file declares, looked up. */
static void check_proto(const char *path)
{
    char line[400], names[16][100], package[200] = "";
    unsigned depth = 0, base = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        char name[100], full[1000];
        struct str text = str_trim(str_of(line, strcspn(line, "\n")));
        size_t n = 0;
        if (sscanf(line, "package %199[^;]", package) == 1)
            continue;
        bool opens = str_ends(text, STR("{"));
        bool message = sscanf(text.p, "message %99[^ ]", name) == 1;
        if (opens) {
            assert_true(depth < ARRAY_LEN(names));
            snprintf(names[depth++], sizeof(names[0]), "%s", message ? name : "");
        }
        if (message) {
            n = (size_t)snprintf(full, sizeof(full), "%s", package);
            for (base = 0; base < depth; base++)
                n += (size_t)snprintf(full + n, sizeof(full) - n, ".%s", names[base]);
            if (!xds_type_find(str_of(full, n)))
                fail_msg("%s: %s has no row", path, full);
        }
        if (str_is(text, "}") && depth)
            depth--;
    }
    fclose(f);
}

static size_t check_directory(const char *path)
{
    size_t files = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char inner[1000];
        snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        if (str_ends(str_from(inner), STR(".proto"))) {
            check_proto(inner);
            files++;
        } else if (!strchr(e->d_name, '.')) {
            files += check_directory(inner);
        }
    }
    closedir(dir);
    return files;
}

static void test_every_message_of_proto_has_a_row(void **state)
{
    (void)state;
    assert_true(check_directory("proto/envoy") > 50);
    check_directory("proto/xds");
    check_directory("proto/google/rpc");
}

static void test_extensions(void **state)
{
    size_t n;
    const struct xds_extension *e = xds_extensions(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        AUTO_DONE(buf) struct buf url = {0};
        buf_addf(&url, "%s%s", XDS_TYPE_PREFIX, e[i].message->name);
        assert_ptr_equal(xds_extension_find(buf_str(&url)), &e[i]);
        assert_non_null(xds_support_find(e[i].message));
        assert_true(e[i].slots);
    }
    assert_null(xds_extension_find(STR("type.googleapis.com/envoy.config.route.v3.Route")));
    assert_null(xds_extension_find(STR("")));
    assert_int_equal(xds_slot_of(&envoy__config__listener__v3__filter__descriptor, "typed_config"),
                     XDS_SLOT_NETWORK_FILTER);
    assert_int_equal(xds_slot_of(&envoy__config__listener__v3__filter__descriptor, "name"), 0);
    assert_string_equal(xds_slot_word(XDS_SLOT_HTTP_FILTER), "an HTTP filter");
    assert_string_equal(xds_slot_word(XDS_SLOT_REDIRECT_PREDICATE),
                        "an internal redirect predicate");
    assert_string_equal(xds_slot_word(0), "an extension");
}

static void test_slots_are_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(said_slots); i++) {
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
            said_slots[i].message, said_slots[i].field);
        if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE)
            fail_msg("%s has no %s", said_slots[i].message->name, said_slots[i].field);
        assert_true(xds_slot_of(said_slots[i].message, said_slots[i].field));
    }
}

static void test_values(void **state)
{
    size_t n;
    const struct xds_value *v = xds_values(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(v[i].message, v[i].field);
        if (!f || f->type != PROTOBUF_C_TYPE_ENUM ||
            !protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, v[i].value))
            fail_msg("%s.%s has no value %s", v[i].message->name, v[i].field, v[i].value);
        assert_ptr_equal(xds_value_find(v[i].message, v[i].field, v[i].value), &v[i]);
        assert_true(*v[i].note && v[i].state != XDS_USED);
    }
}

static void test_resources(void **state)
{
    (void)state;
    for (int i = 0; i < XDS_RESOURCES; i++) {
        enum xds_resource back = XDS_RESOURCES;
        const struct xds_resource_type *t = xds_resource_type((enum xds_resource)i);
        assert_ok(xds_resource_of(str_from(t->type_url), &back));
        assert_int_equal(back, i);
    }
    enum xds_resource r;
    assert_int_equal(xds_resource_of(STR("type.googleapis.com/envoy.config.route.v3.Route"), &r),
                     -ENOENT);
}

static void test_types_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(xds_type_find(STR("google.protobuf.Duration")),
                     &google__protobuf__duration__descriptor);
    assert_ptr_equal(xds_type_find(STR("envoy.config.route.v3.RouteAction.HashPolicy")),
                     &envoy__config__route__v3__route_action__hash_policy__descriptor);
    assert_null(xds_type_find(STR("envoy.config.route.v3.RouteActio")));
    assert_null(xds_type_find(STR("envoy.config.route.v3.RouteActionX")));
    assert_null(xds_type_find(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_a_field),
        cmocka_unit_test(test_fields_lead_into_the_table),
        cmocka_unit_test(test_every_message_of_proto_has_a_row),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_slots_are_fields),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_types_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
