/* The rows of the kinds against what others know of them. */
#include "lab/apiserver/api_kind.h"
#include "test.h"

/* Commands find the table of a kind by its name: the same that the server uses. */
static void test_every_kind_has_its_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_kinds_count(); i++) {
        const struct api_kind *k = api_kind_at(i);
        if (!k->review && schema_of_kind(api_kind_group_version(k), k->kind) != k->schema)
            fail_msg("%s %s", api_kind_group_version(k), k->kind);
    }
    assert_null(schema_of_kind("example.org/v1", "Pod"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_has_its_table),
    };
    return RUN_TESTS(tests);
}
