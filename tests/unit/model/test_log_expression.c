/* Which requests are told of: expressions that can be said by filters, and those that cannot. */
#include "test.h"

#include <errno.h>

#include "model/log_expression.h"

static void print(const struct log_expression *e, struct buf *b)
{
    static const char *const comparisons[] = {"==", "!=", ">=", "<="}, *const hows[] = {
                                                                           "is", "like", "begins",
                                                                           "there"};
    switch (e->op) {
    case LOG_AND:
    case LOG_OR:
        buf_add_cstr(b, e->op == LOG_AND ? "(and " : "(or ");
        print(e->of[0], b);
        buf_add_char(b, ' ');
        print(e->of[1], b);
        buf_add_char(b, ')');
        break;
    case LOG_ANY:
        buf_add_cstr(b, "any");
        break;
    case LOG_FLAGS:
        buf_add_cstr(b, "flags");
        break;
    case LOG_CODE:
    case LOG_DURATION:
    case LOG_GRPC:
        buf_addf(b, "%s%s%u",
                 e->op == LOG_CODE       ? "code"
                 : e->op == LOG_DURATION ? "ms"
                                         : "grpc",
                 comparisons[e->comparison], e->value);
        break;
    case LOG_FIELD:
        buf_addf(b, "%s%s %s %s", e->not ? "not " : "", e->field, hows[e->how], e->text);
    }
}

static const struct {
    const char *text, *is;
} rights[] = {
    {"true", "any"},
    {"response.code >= 400", "code>=400"},
    {"response.code>400", "code>=401"},
    {"response.code < 400", "code<=399"},
    {"!(response.code >= 400)", "code<=399"},
    {"!(response.code < 400)", "code>=400"},
    {"!(response.code == 200)", "code!=200"},
    {"!!(response.code == 200)", "code==200"},
    {"response.code >= 400 && response.code < 500 || request.method == 'PUT'",
     "(or (and code>=400 code<=499) :method is PUT)"},
    {"!(response.code == 200 && request.method != \"GET\")", "(or code!=200 :method is GET)"},
    {"!(response.code == 200 || request.method == \"GET\")", "(and code!=200 not :method is GET)"},
    {"(response.code == 1 || response.code == 2) && response.code == 3",
     "(and (or code==1 code==2) code==3)"},
    {"request.duration > duration('1.5s')", "ms>=1501"},
    {"response.grpc_status != 0", "grpc!=0"},
    {"response.flags != 0", "flags"},
    {"!(response.flags == 0)", "flags"},
    {"request.headers['X-A'] == 'it\\'s'", "x-a is it's"},
    {"request.headers[\"x-a\"] != 'b'", "not x-a is b"},
    {"'X-A' in request.headers", "x-a there "},
    {"!has(request.headers['x-a'])", "not x-a there "},
    {"request.path.startsWith('/a?b')", ":path begins /a?b"},
    {"request.path.endsWith('.png')", ":path like .*\\.png"},
    {"request.path.contains('a+b')", ":path like .*a\\+b.*"},
    {"request.path.matches('^/a')", ":path like .*(?:^/a).*"},
    {"request.url_path == '/a.b'", ":path like /a\\.b(?:\\?.*)?"},
    {"request.url_path.startsWith('/a')", ":path begins /a"},
    {"request.url_path.endsWith('.png')", ":path like [^?]*\\.png(?:\\?.*)?"},
    {"request.host == 'a' && request.useragent.startsWith('kube-probe')",
     "(and :authority is a user-agent begins kube-probe)"},
};

static void test_what_can_be_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        AUTO_DONE(buf) struct buf b = {0};
        struct log_expression *e = NULL;
        struct err err = {0};
        if (log_expression_parse(rights[i].text, &e, &err) < 0)
            fail_msg("%s: %s", rights[i].text, err_text(&err));
        print(e, &b);
        assert_string_equal(buf_cstr(&b), rights[i].is);
        log_expression_free(e);
    }
}

static const struct {
    const char *text, *told;
} wrongs[] = {
    {"", "at \"\" (character 1): this attribute cannot be looked at"},
    {"connection.mtls == false", "at \"connection.mtls == false\" (character 1): this attribute"},
    {"response.code", "at \"\" (character 14): ==, !=, <, <=, > or >= is expected"},
    {"response.code == 'a'", "at \"'a'\" (character 18): a whole number"},
    {"response.code == 99999999999", "at \"99999999999\" (character 18): a whole number"},
    {"response.code < 0", "at \"\" (character 18): nothing is less"},
    {"response.code == 200 200", "at \"200\" (character 22): && or || is expected"},
    {"response.code == 200 &&", "at \"\" (character 24): this attribute"},
    {"(response.code == 200", "at \"\" (character 22): ) is expected"},
    {"request.duration > 5", "at \"5\" (character 20): duration"},
    {"response.flags == 0", "at \"\" (character 20): that there are no flags"},
    {"response.flags == 4", "at \"\" (character 20): of response.flags"},
    {"response.grpc_status > 4", "at \"\" (character 25): of response.grpc_status"},
    {"request.path == 5", "at \"5\" (character 17): a text is expected"},
    {"request.path.size() > 5", "at \".size() > 5\" (character 13): ==, !=, startsWith"},
    {"request.path.matches('(')", "at \"\" (character 26): "},
    {"request.url_path.matches('x')", "at \"\" (character 30): say it of request.path"},
    {"request.url_path.startsWith('?')", "at \"\" (character 33): say it of request.path"},
    {"request.headers['a b'] == 'c'", "at \"] == 'c'\" (character 22): this attribute"},
    {"request.path == 'a\\n'", "at \"'a\\n'\" (character 17): a text is expected"},
    {"has(response.code)", "at \"response.code)\" (character 5): has(request.headers"},
    {"request.pathology == 'x'", "at \"request.pathology == 'x'\" (character 1): this"},
};

static void test_what_cannot(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        struct log_expression *e = NULL;
        struct err err = {0};
        assert_int_equal(log_expression_parse(wrongs[i].text, &e, &err), -EINVAL);
        if (strncmp(err_text(&err), wrongs[i].told, strlen(wrongs[i].told)) != 0)
            fail_msg("%s: %s", wrongs[i].text, err_text(&err));
    }
}

static void test_limits(void **state)
{
    (void)state;
    AUTO_DONE(buf) struct buf deep = {0}, bangs = {0}, many = {0};
    struct log_expression *e = NULL;
    struct err err = {0}, err2 = {0}, err3 = {0};
    for (int i = 0; i < 100; i++) {
        buf_add_char(&deep, '(');
        buf_add_char(&bangs, '!');
        buf_add_cstr(&many, "response.code == 1 || ");
    }
    assert_int_equal(log_expression_parse(buf_cstr(&deep), &e, &err), -EINVAL);
    assert_non_null(strstr(err_text(&err), "nested deeper than 16"));
    assert_int_equal(log_expression_parse(buf_cstr(&bangs), &e, &err2), -EINVAL);
    assert_non_null(strstr(err_text(&err2), "nested deeper than 16"));
    assert_int_equal(log_expression_parse(buf_cstr(&many), &e, &err3), -EINVAL);
    assert_non_null(strstr(err_text(&err3), "longer than 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_can_be_said),
        cmocka_unit_test(test_what_cannot),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
