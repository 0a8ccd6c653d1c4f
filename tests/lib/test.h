#pragma once
/* cmocka with its includes in the order it wants, and a few asserts of ours. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#define assert_str(actual, expected)                                                               \
    do {                                                                                           \
        struct str a_ = (actual);                                                                  \
        AUTO_CHARS char *text_ = str_dup(a_);                                                      \
        assert_string_equal(text_, expected);                                                      \
    } while (0)

#define assert_ok(expr) assert_int_equal((expr), 0)

#define RUN_TESTS(tests) cmocka_run_group_tests(tests, NULL, NULL)
