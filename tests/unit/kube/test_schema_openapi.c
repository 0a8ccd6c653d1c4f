/* Message tables from OpenAPI definitions: what each word means, and what is refused with which
 * words. */
#include "kube/schema_openapi.h"

#include <errno.h>

#include "codec/yaml.h"
#include "test.h"

static int add(struct schema_book *b, const char *yaml, struct err *err)
{
    AUTO_JSON json_t *definitions = NULL;
    assert_ok(yaml_parse(str_from(yaml), &definitions, NULL));
    return schema_book_add(b, definitions, err);
}

static const struct schema_field *field(const struct schema_book *b, const char *table,
                                        const char *name)
{
    const struct schema *s = schema_book_find(b, table);
    assert_non_null(s);
    const struct schema_field *f = schema_find(s, str_from(name));
    assert_non_null(f);
    return f;
}

static void test_words_become_columns(void **state)
{
    struct schema_book b;
    (void)state;
    schema_book_init(&b, 0);
    assert_ok(
        add(&b,
            "A:\n"
            "  required: [ports]\n"
            "  properties:\n"
            "    count: {type: integer, format: int32, minimum: 1, default: 3, x-pb: 7, x-go: "
            "pointer omitempty, x-go-type: v1.N}\n"
            "    big: {type: integer, maximum: 5}\n"
            "    ports: {type: array, items: {$ref: B}, x-kubernetes-patch-strategy: merge, "
            "x-kubernetes-patch-merge-key: port, x-kubernetes-list-type: map, "
            "x-kubernetes-list-map-keys: [port, protocol]}\n"
            "    labels: {type: object, additionalProperties: {type: string}, format: "
            "labels}\n"
            "    data: {type: object, additionalProperties: {type: string, format: byte}, "
            "format: config-keys}\n"
            "    how: {type: string, enum: [x, z], default: x, description: how it is}\n"
            "    q: {x-kubernetes-int-or-string: true, format: quantity}\n"
            "B: {properties: {port: {x-kubernetes-int-or-string: true}}}\n",
            NULL));
    const struct schema_field *n = field(&b, "A", "count"), *ports = field(&b, "A", "ports");
    assert_true(n->type == FIELD_INT32 && n->bounded && n->pointer && n->omitempty && n->pb == 7);
    assert_true(n->min == 1 && n->max == INT32_MAX && !n->required);
    assert_string_equal(n->def, "3");
    assert_string_equal(n->go_type, "v1.N");
    assert_true(field(&b, "A", "big")->min == INT64_MIN && field(&b, "A", "big")->max == 5);
    assert_true(ports->shape == SHAPE_LIST && ports->of == schema_book_find(&b, "B"));
    assert_true(ports->required && ports->patch_merge && !ports->set && !ports->atomic);
    assert_string_equal(ports->merge_key, "port");
    assert_string_equal(ports->map_keys, "port,protocol");
    assert_true(field(&b, "A", "labels")->shape == SHAPE_MAP);
    assert_int_equal(field(&b, "A", "labels")->format, FORMAT_LABELS);
    assert_int_equal(field(&b, "A", "data")->type, FIELD_BYTES);
    assert_int_equal(field(&b, "A", "data")->format, FORMAT_CONFIG_KEYS);
    assert_string_equal(field(&b, "A", "how")->values, "x|z");
    assert_string_equal(field(&b, "A", "how")->def, "\"x\"");
    assert_int_equal(field(&b, "A", "q")->type, FIELD_QUANTITY);
    assert_int_equal(field(&b, "B", "port")->type, FIELD_INT_OR_STRING);
    schema_book_done(&b);
}

static void test_references_may_point_forward_and_in_circles(void **state)
{
    struct schema_book b;
    (void)state;
    schema_book_init(&b, 0);
    assert_ok(add(&b,
                  "A: {properties: {b: {$ref: B}}}\n"
                  "B: {title: Other, allOf: [{$ref: C, x-pb: 1}], properties: {a: {$ref: A}}}\n"
                  "C: {properties: {deep: {type: string}}}\n",
                  NULL));
    assert_ptr_equal(field(&b, "B", "a")->of, schema_book_find(&b, "A"));
    assert_string_equal(field(&b, "A", "b")->of->name, "Other");
    assert_int_equal(field(&b, "B", "deep")->type, FIELD_STRING); /* stands in B */
    assert_ok(add(&b, "D: {properties: {a: {$ref: A}}}", NULL));
    schema_book_done(&b);
}

static void test_properties_inside_properties(void **state)
{
    struct schema_book b;
    (void)state;
    schema_book_init(&b, 0);
    assert_ok(add(&b,
                  "A: {properties: {spec: {type: object, properties: {hosts: {type: array, items: "
                  "{type: object, properties: {name: {type: string}}}}}}}}",
                  NULL));
    const struct schema_field *spec = field(&b, "A", "spec");
    const struct schema_field *hosts = schema_find(spec->of, STR("hosts"));
    assert_true(hosts && hosts->shape == SHAPE_LIST && hosts->type == FIELD_OBJECT);
    assert_non_null(schema_find(hosts->of, STR("name")));
    schema_book_done(&b);
}

static void test_what_means_nothing_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *yaml, *text;
    } cases[] = {
        {"A: {properties: {b: {typ: string}}}", "A.b: no such word: typ"},
        {"A: {propertys: {}}",
         "A: a definition has properties, allOf, required, title, description "
         "or x-kubernetes-group-version-kind: {\"propertys\":{}}"},
        {"A: {properties: {b: {$ref: Nobody}}}",
         "A.b.$ref: there is no such definition: \"Nobody\""},
        {"A: {properties: {b: {type: number}}}",
         "A.b.type: no such type; string, boolean, integer, array, object are: \"number\""},
        {"A: {properties: {b: {type: string, format: int32}}}",
         "A.b.format: no such format for this type: \"int32\""},
        {"A: {properties: {b: {type: boolean, format: ip}}}",
         "A.b.format: no such format for this type: \"ip\""},
        {"A: {required: [c], properties: {b: {type: string}}}",
         "A: required names no property: \"c\""},
        {"A: {properties: {b: {type: array, items: {type: array, items: {type: string}}}}}",
         "A.b.items: lists and maps of lists and maps are not supported: "
         "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"},
        {"A: {properties: {b: {x-pb: 0}}}", "A.b.x-pb: field numbers are 1 to 65535: 0"},
        {"A: {properties: {b: {x-go: star}}}",
         "A.b.x-go: no such word; pointer and omitempty are: \"star\""},
        {"A: {properties: {b: 5}}", "A.b: an object is expected: 5"},
        {"A: {allOf: [{type: string}]}", "A: allOf takes references only: {\"type\":\"string\"}"},
        {"A: {allOf: {}}", "A: properties is an object, allOf a list: {\"allOf\":{}}"},
        {"A: 5", "A: a definition has properties, allOf, required, title, description or "
                 "x-kubernetes-group-version-kind: 5"},
        {"A: {allOf: [{$ref: B}]}\nB: {allOf: [{$ref: A}]}",
         "A: a message may not stand in itself by allOf or default"},
        {"A: {properties: {b: {$ref: B, default: {}}}}\nB: {properties: {a: {$ref: A}}}",
         "A: a message may not stand in itself by allOf or default"},
        {"[]", "definitions are expected: names and their schemas: []"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct schema_book b;
        struct err err = {0};
        schema_book_init(&b, 0);
        assert_int_equal(add(&b, cases[i].yaml, &err), -EINVAL);
        assert_string_equal(err_text(&err), cases[i].text);
        schema_book_done(&b);
    }
}

static void test_a_name_twice_and_a_book_that_is_full(void **state)
{
    struct schema_book b;
    struct err err = {0};
    (void)state;
    schema_book_init(&b, 0);
    assert_ok(add(&b, "A: {}", NULL));
    assert_int_equal(add(&b, "A: {}", &err), -EINVAL);
    assert_string_equal(err_text(&err), "A: is defined twice");
    schema_book_done(&b);
    schema_book_init(&b, 64);
    assert_int_equal(add(&b, "A: {properties: {b: {type: string}, c: {type: string}}}", &err),
                     -ENOMEM);
    assert_null(schema_book_find(&b, "Nobody"));
    schema_book_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_become_columns),
        cmocka_unit_test(test_references_may_point_forward_and_in_circles),
        cmocka_unit_test(test_properties_inside_properties),
        cmocka_unit_test(test_what_means_nothing_is_refused_with_its_place),
        cmocka_unit_test(test_a_name_twice_and_a_book_that_is_full),
    };
    return RUN_TESTS(tests);
}
