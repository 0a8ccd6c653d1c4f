/* Contexts of traces in the fields of requests, well-formed and not. */
#include "proxy/trace_context.h"

#include "test.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

static void w3c(const char *text, bool good, enum trace_sampled sampled)
{
    struct trace_context c = {.sampled = 99};
    char back[TRACE_PARENT_BYTES];
    assert_int_equal(trace_read_w3c(str_from(text), &c), good);
    assert_int_equal(c.sampled, good ? sampled : 99);
    if (!good)
        return;
    trace_write_w3c(&c, back);
    assert_memory_equal(back, "00-" TRACE "-" SPAN "-0", 54);
    assert_int_equal(back[54], sampled == TRACE_SAMPLED_YES ? '1' : '0');
}

static void test_traceparent(void **state)
{
    (void)state;
    w3c("00-" TRACE "-" SPAN "-01", true, TRACE_SAMPLED_YES);
    w3c("00-" TRACE "-" SPAN "-00", true, TRACE_SAMPLED_NO);
    w3c("00-" TRACE "-" SPAN "-03", true, TRACE_SAMPLED_YES);
    w3c("cc-" TRACE "-" SPAN "-01-more", true, TRACE_SAMPLED_YES); /* a version to come */
    w3c("00-" TRACE "-" SPAN "-01-more", false, 0);
    w3c("cc-" TRACE "-" SPAN "-01more", false, 0);
    w3c("ff-" TRACE "-" SPAN "-01", false, 0);
    w3c("00-00000000000000000000000000000000-" SPAN "-01", false, 0);
    w3c("00-" TRACE "-0000000000000000-01", false, 0);
    w3c("00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false, 0);
    w3c("00-" TRACE "-" SPAN "-0g", false, 0);
    w3c("00-" TRACE "-" SPAN "-1", false, 0);
    w3c("00_" TRACE "-" SPAN "-01", false, 0);
    w3c("", false, 0);
}

static void b3(const char *text, bool good, bool ids, enum trace_sampled sampled)
{
    struct trace_context c = {.sampled = 99};
    assert_int_equal(trace_read_b3(str_from(text), &c), good);
    if (!good)
        return;
    assert_int_equal(c.has_ids, ids);
    assert_int_equal(c.sampled, sampled);
}

static void test_b3(void **state)
{
    (void)state;
    b3(TRACE "-" SPAN "-1-" SPAN, true, true, TRACE_SAMPLED_YES);
    b3(TRACE "-" SPAN "-0", true, true, TRACE_SAMPLED_NO);
    b3(TRACE "-" SPAN "-d", true, true, TRACE_SAMPLED_YES);
    b3(TRACE "-" SPAN, true, true, TRACE_SAMPLED_UNKNOWN);
    b3(SPAN "-" SPAN "-1", true, true, TRACE_SAMPLED_YES);
    b3("0", true, false, TRACE_SAMPLED_NO);
    b3("1", true, false, TRACE_SAMPLED_YES);
    b3("", false, false, 0);
    b3("x", false, false, 0);
    b3(TRACE "-" SPAN "-x", false, false, 0);
    b3(TRACE "-" SPAN "-1-short", false, false, 0);
    b3("12-" SPAN "-1", false, false, 0);
    b3("0000000000000000-" SPAN "-1", false, false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traceparent),
        cmocka_unit_test(test_b3),
    };
    return RUN_TESTS(tests);
}
