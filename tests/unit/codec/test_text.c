/* JSON limits, list splitting, YAML both ways, URLs, base64, netlink bytes. */
#include "test.h"

#include <errno.h>
#include <stdio.h>

#include "codec/base64.h"
#include "codec/json.h"
#include "codec/json_items.h"
#include "codec/netlink.h"
#include "codec/url.h"
#include "codec/yaml.h"

static void test_json_limits(void **state)
{
    AUTO_DONE(buf) struct buf deep = {0};
    json_t *j = NULL;
    struct err err = {0};
    char duplicate[128];
    (void)state;
    for (int i = 0; i < 10000; i++)
        buf_add_char(&deep, '[');
    assert_int_equal(json_parse(buf_str(&deep), 0, NULL, &j, &err), -EOVERFLOW);
    assert_int_equal(json_parse(STR("{\"a\":1}"), 3, NULL, &j, &err), -E2BIG);
    assert_int_equal(json_parse(STR("{\"a\":}"), 0, NULL, &j, &err), -EINVAL);
    assert_non_null(strstr(err_text(&err), "line 1"));
    assert_ok(json_parse(STR("{\"a\":1,\"b\":2,\"a\":3}"), 0, duplicate, &j, &err));
    assert_string_equal(duplicate, "a");
    assert_int_equal(json_at_int(j, "a", 0), 3); /* the last one wins, as in Go */
    json_decref(j);
}

static void test_json_paths(void **state)
{
    AUTO_JSON json_t *j = json_object();
    (void)state;
    json_put_int(j, "a.b.c", 5);
    json_put_str(j, "a.d", "x");
    assert_int_equal(json_at_int(j, "a.b.c", 0), 5);
    assert_string_equal(json_at_str(j, "a.d"), "x");
    assert_null(json_at(j, "a.x.y"));
    json_del(j, "a.b");
    assert_null(json_at(j, "a.b"));
}

struct split {
    unsigned n;
    struct buf all;
};

static int on_item(struct str text, void *user)
{
    struct split *s = user;
    s->n++;
    buf_add_str(&s->all, text);
    buf_add_char(&s->all, ';');
    return 0;
}

static void test_list_is_split_in_any_pieces(void **state)
{
    const char *text = "{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\",\"items\":[9]},"
                       "\"items\":[ {\"a\":\"]}\\\"\"} , {\"b\":[{}]}],\"z\":1}";
    (void)state;
    for (size_t step = 1; step <= strlen(text); step++) {
        struct json_items s = {0};
        AUTO_JSON json_t *rest = NULL;
        struct split got = {0};
        for (size_t i = 0; i < strlen(text); i += step)
            assert_ok(
                json_items_feed(&s, str_of(text + i, MIN(step, strlen(text) - i)), on_item, &got));
        assert_int_equal(got.n, 2);
        assert_str(buf_str(&got.all), "{\"a\":\"]}\\\"\"};{\"b\":[{}]};");
        assert_ok(json_parse(buf_str(&s.skeleton), 0, NULL, &rest, NULL));
        assert_string_equal(json_at_str(rest, "metadata.resourceVersion"), "7");
        assert_int_equal(json_array_size(json_at(rest, "items")), 0);
        json_items_done(&s);
        buf_done(&got.all);
    }
}

static void test_text_without_a_member(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{\"a\":1,\"m\":[{\"x\":\"]}\\\"\"},[]],\"b\":{}}", "{\"a\":1,\"m\":null,\"b\":{}}"},
        {"{\"m\":{\"m\":[]}}", "{\"m\":null}"},
        {"{\"m\":7}", "{\"m\":7}"},
        {"{\"a\":\"\\\"m\\\":[1]\"}", "{\"a\":\"\\\"m\\\":[1]\"}"}, /* in a string: not a name */
        {"{\"m\":[1", "{\"m\":[1"},
        {"{\"m\":", "{\"m\":"},
        {"", ""}};
    AUTO_DONE(buf) struct buf room = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_str(json_text_without(str_from(rows[i].text), "m", &room), rows[i].want);
}

static void test_yaml_scalars(void **state)
{
    AUTO_JSON json_t *j = NULL;
    (void)state;
    assert_ok(yaml_parse(STR("a: 1\nb: 'yes'\nc: yes\nd: true\ne: 0644\nf: 1.5\ng: null\nh: "
                             "\"1\"\ni: 12abc\nj: |\n  x\n  y\n"),
                         &j, NULL));
    assert_int_equal(json_at_int(j, "a", 0), 1);
    assert_string_equal(json_at_str(j, "b"), "yes");
    assert_true(json_is_true(json_at(j, "c")));
    assert_true(json_is_true(json_at(j, "d")));
    assert_int_equal(json_at_int(j, "e", 0), 0644);
    assert_true(json_is_real(json_at(j, "f")));
    assert_null(json_at(j, "g"));
    assert_string_equal(json_at_str(j, "h"), "1");
    assert_string_equal(json_at_str(j, "i"), "12abc");
    assert_string_equal(json_at_str(j, "j"), "x\ny\n");
}

static void test_yaml_bomb_is_an_error(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_t *j = NULL;
    struct err err = {0};
    (void)state;
    buf_add_cstr(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++)
        buf_addf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_int_equal(yaml_parse(buf_str(&b), &j, &err), -E2BIG);
    assert_int_equal(yaml_parse(STR("a: [1\nb: 2"), &j, &err), -EINVAL);
    assert_int_equal(yaml_parse(STR("a: \"x\\0y\""), &j, &err), -EINVAL);
    assert_int_equal(yaml_parse(STR("\"x\\0y\": 1"), &j, &err), -EINVAL);
    assert_non_null(strstr(err_text(&err), "line"));
    assert_int_equal(yaml_parse(STR("a: 1\na: 2\n"), &j, &err), -EINVAL);
}

static void test_yaml_round_trip(void **state)
{
    static const char *const texts[] = {"",
                                        "yes",
                                        "1",
                                        "1.5",
                                        "a: b",
                                        "# x",
                                        "- x",
                                        "multi\nline\n",
                                        "no newline\nat end",
                                        " lead",
                                        "trail ",
                                        "null",
                                        "0x1f",
                                        "0o17",
                                        "0b1",
                                        "1_000",
                                        "+1",
                                        "-.5",
                                        ".inf",
                                        "y",
                                        "<<",
                                        "2026-01-01",
                                        "a\tb",
                                        "\"quoted\"",
                                        "'q'",
                                        "{}",
                                        "[",
                                        "*a",
                                        "&a",
                                        "!t",
                                        "%d",
                                        "@x",
                                        "`",
                                        "x:",
                                        "12:30",
                                        "~",
                                        "ok",
                                        "a#b",
                                        "a #b",
                                        "next\xc2\x85line",
                                        "line\xe2\x80\xa8one\ntwo\n",
                                        "\xe2\x80\xa9",
                                        "control\xc2\x9b",
                                        "delete\x7f\n",
                                        "\xef\xbb\xbfmark",
                                        "\xef\xbf\xbf",
                                        "\xc2\xa0\xef\xbf\xbd\xe2\x80\xa7 \xf0\x9f\x9a\xa2"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_JSON json_t *before = json_pack("{s:s,s:[s,{s:s}],s:{},s:[]}", "k", texts[i], "l",
                                             texts[i], "m", texts[i], "o", "e");
        json_object_set_new(before, texts[i], json_true());
        AUTO_JSON json_t *after = NULL;
        AUTO_DONE(buf) struct buf b = {0};
        struct err err = {0};
        yaml_write(&b, before);
        if (yaml_parse(buf_str(&b), &after, &err) < 0 || !json_equal(before, after))
            fail_msg("\"%s\" did not come back: %s\n%s", texts[i], err_text(&err), buf_cstr(&b));
    }
}

static void test_url(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_CHARS char *v = url_param(STR("a=1&b=x%20y+z&c"), "b");
    (void)state;
    assert_string_equal(v, "x y z");
    assert_null(url_param(STR("a=1"), "b"));
    assert_true(url_param_bool(STR("watch=1"), "watch") &&
                url_param_bool(STR("watch=true"), "watch"));
    assert_true(url_param_bool(STR("watch=True"), "watch") &&
                url_param_bool(STR("watch="), "watch"));
    assert_false(url_param_bool(STR("watch=False"), "watch") ||
                 url_param_bool(STR("watch=0"), "watch") || url_param_bool(STR("x=1"), "watch"));
    url_encode(STR("a/b c=d"), &b);
    assert_str(buf_str(&b), "a%2Fb%20c%3Dd");
    buf_clear(&b);
    assert_int_equal(url_decode(STR("%zz"), false, &b), -EINVAL);
    assert_int_equal(url_decode(STR("%4"), false, &b), -EINVAL);
    assert_int_equal(url_decode(STR("%00"), false, &b), -EINVAL);
}

static void test_base64(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        AUTO_DONE(buf) struct buf enc = {0};
        AUTO_DONE(buf) struct buf dec = {0};
        base64_encode(str_from(pairs[i][0]), &enc);
        assert_str(buf_str(&enc), pairs[i][1]);
        assert_ok(base64_decode(buf_str(&enc), &dec));
        assert_str(buf_str(&dec), pairs[i][0]);
    }
    AUTO_DONE(buf) struct buf b = {0};
    assert_int_equal(base64_decode(STR("Zg="), &b), -EINVAL);
    assert_int_equal(base64_decode(STR("Z!=="), &b), -EINVAL);
}

static void test_netlink(void **state)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct nlmsg m;
    (void)state;
    size_t begin = nlmsg_begin(&b, 20, NLM_F_REQUEST, 7);
    nlmsg_fixed(&b, "\1\2\3", 3);
    nla_add_cstr(&b, 1, "name");
    size_t nest = nla_nest_begin(&b, 2);
    nla_add_be32(&b, 3, 0x01020304);
    nla_nest_end(&b, nest);
    nlmsg_end(&b, begin);
    struct str bytes = buf_str(&b);
    assert_int_equal(nlmsg_next(&bytes, &m), 1);
    assert_int_equal(m.type, 20);
    assert_int_equal(m.seq, 7);
    struct str attrs = nlmsg_attrs(&m, 3);
    assert_str(nla_text(nla_find(attrs, 1)), "name");
    assert_int_equal(nla_be32(nla_find(nla_find(attrs, 2), 3), 0), 0x01020304);
    assert_int_equal(nlmsg_next(&bytes, &m), 0);
    for (size_t n = 1; n < b.n; n++) { /* every truncation is noticed */
        struct str cut = str_of(b.p, n);
        assert_int_equal(nlmsg_next(&cut, &m), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_limits),
        cmocka_unit_test(test_json_paths),
        cmocka_unit_test(test_list_is_split_in_any_pieces),
        cmocka_unit_test(test_text_without_a_member),
        cmocka_unit_test(test_yaml_scalars),
        cmocka_unit_test(test_yaml_bomb_is_an_error),
        cmocka_unit_test(test_yaml_round_trip),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_netlink),
    };
    return RUN_TESTS(tests);
}
