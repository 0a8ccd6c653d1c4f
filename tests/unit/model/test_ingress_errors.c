/* What annotations of errors take. What comes of them: tests/model/ingress_errors. */
#include "test.h"

#include "base/buf.h"
#include "model/ingress_readers.h"

static void test_statuses(void **state)
{
    static const char *const bad[] = {"",         ",",   "200",  "399",  "600",         "404;503",
                                      "404,,503", "abc", "4040", "-404", "404, 503 500"};
    struct ingress_policy p = {0};
    AUTO_DONE(buf) struct buf many = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(read_custom_http_errors(&p, bad[i]));
    assert_int_equal(p.errors.n_codes, 0);
    assert_null(read_custom_http_errors(&p, "400, 599,"));
    assert_int_equal(p.errors.n_codes, 2);
    assert_int_equal(p.errors.codes[1], 599);
    for (unsigned i = 0; i <= ROUTE_ERROR_CODES_MAX; i++)
        buf_addf(&many, "%u,", 400 + i);
    assert_non_null(read_custom_http_errors(&p, buf_cstr(&many)));
    assert_int_equal(p.errors.n_codes, 2);
}

static void test_services(void **state)
{
    struct ingress_policy p = {0};
    (void)state;
    assert_non_null(read_default_backend(&p, "a b"));
    assert_non_null(read_default_backend(&p, "ns/name"));
    assert_non_null(read_default_backend(&p, ""));
    assert_null(read_default_backend(&p, "pages"));
    assert_string_equal(p.errors.backend, "pages");
    free(p.errors.backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_services),
    };
    return RUN_TESTS(tests);
}
