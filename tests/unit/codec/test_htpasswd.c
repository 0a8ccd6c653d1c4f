/* Lines of htpasswd: what is taken, and why the rest is not. */
#include "codec/htpasswd.h"

#include "test.h"

static void assert_line(const char *text, const char *why)
{
    struct str rest = str_from(text);
    struct htpasswd_line line = {0};
    assert_true(htpasswd_next(&rest, &line));
    if (why)
        assert_non_null(strstr(line.why ? line.why : "it was taken", why));
    else if (line.why)
        fail_msg("%s: %s", text, line.why);
}

static void test_kinds(void **state)
{
    (void)state;
    assert_line("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", NULL);
    assert_line("a:{SSHA}8bX4JQDfZqtTfvnQ4ssDmWb17/FTQUxU", NULL);
    assert_line("a:{PLAIN}pass:word", NULL);
    assert_line("a:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", NULL);
    assert_line("a:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", NULL);
    assert_line("a:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA", NULL);
    assert_line("a:$5$rounds=99999$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA", NULL);
    assert_line("a:abNANd1rDfiNc:a comment", NULL);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    assert_line("nobody", "not NAME:HASH");
    assert_line(":x", "not NAME:HASH");
    assert_line("a:", "not NAME:HASH");
    assert_line("a:plain", "no kind");
    assert_line("a:$y$j9T$x$y", "no kind");
    assert_line("a:{SHA}AAAA", "damaged");
    assert_line("a:{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "damaged");
    assert_line("a:$apr1$abcdefghi$h9FWgUz3n9YxylKLlR5SQ/", "damaged");
    assert_line("a:$apr1$h9FWgUz3n9YxylKLlR5SQ/", "damaged");
    assert_line("a:$2y$5$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "damaged");
    assert_line("a:$2y$13$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "above 12");
    assert_line("a:$6$rounds=100001$s$x", "100000");
    assert_line("a:$6$rounds=99999999999999999999$s$x", "damaged");
    assert_line("a\x01:abNANd1rDfiNc", "control");
}

static void test_a_file(void **state)
{
    struct str rest = STR("# users\r\n\na:abNANd1rDfiNc\r\nwrong\nb:abNANd1rDfiNc");
    struct htpasswd_line line = {0};
    (void)state;
    assert_true(htpasswd_next(&rest, &line));
    assert_int_equal(line.number, 3);
    assert_true(str_is(line.name, "a") && str_is(line.hash, "abNANd1rDfiNc") && !line.why);
    assert_true(htpasswd_next(&rest, &line));
    assert_true(line.number == 4 && line.why);
    assert_true(htpasswd_next(&rest, &line));
    assert_true(str_is(line.name, "b") && !line.why);
    assert_false(htpasswd_next(&rest, &line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_a_file),
    };
    return RUN_TESTS(tests);
}
