/* Templates: what Go's language and Helm's functions give, as far as the chart uses them, and what
 * is refused. Expectations are Helm's own answers. */
#include "chart/template.h"
#include "test.h"

static const struct chart_file chart[] = {{"files/a.txt", {"one\ntwo", 7}},
                                          {"files/d/b.txt", {"b", 1}}};

static int render(const char *text, const char *values, struct buf *out, struct err *err)
{
    AUTO(templates) struct templates *t = templates_new(chart, ARRAY_LEN(chart));
    AUTO_JSON json_t *v = NULL;
    assert_ok(json_parse(str_from(values), 0, NULL, &v, NULL));
    AUTO_JSON json_t *data = json_pack("{s:O,s:{}}", "Values", v, "Files");
    int r = templates_add(t, "t.yaml", str_from(text), err);
    return r < 0 ? r : templates_render(t, "t.yaml", data, out, err);
}

static void assert_gives(const char *text, const char *values, const char *want)
{
    AUTO_DONE(buf) struct buf out = {0};
    struct err err = {0};
    if (render(text, values, &out, &err) < 0)
        fail_msg("%s: %s", text, err_text(&err));
    assert_string_equal(buf_cstr(&out), want);
}

static void assert_refused(const char *text, const char *says)
{
    AUTO_DONE(buf) struct buf out = {0};
    struct err err = {0};
    assert_true(render(text, "{}", &out, &err) < 0);
    if (!strstr(err_text(&err), says))
        fail_msg("%s: \"%s\" does not say \"%s\"", text, err_text(&err), says);
}

static void test_text_and_trimming(void **state)
{
    (void)state;
    assert_gives("a {{ 1 }} b", "{}", "a 1 b");
    assert_gives("a \n {{- 1 }} b", "{}", "a1 b");
    assert_gives("a {{ 1 -}} \n\t b", "{}", "a 1b");
    assert_gives("a {{- /* no }} word */ -}} b", "{}", "ab");
    assert_gives("{{-1}}", "{}", "-1"); /* a minus without a blank is a number's */
    assert_gives("{{ \"q\\\"\\n\" }}{{ `r\\` }}", "{}", "q\"\nr\\");
}

static void test_blocks(void **state)
{
    (void)state;
    assert_gives("{{ if .Values.a }}x{{ else if .Values.b }}y{{ else }}z{{ end }}", "{\"b\":1}",
                 "y");
    assert_gives("{{ if .Values.a }}x{{ else if .Values.b }}y{{ else }}z{{ end }}", "{}", "z");
    assert_gives("{{ with .Values.a }}{{ .b }}{{ $.Values.c }}{{ else }}none{{ end }}",
                 "{\"a\":{\"b\":1},\"c\":2}", "12");
    assert_gives("{{ with .Values.a }}x{{ else }}none{{ end }}", "{\"a\":[]}", "none");
    assert_gives("{{ range .Values.l }}<{{ . }}>{{ else }}none{{ end }}", "{\"l\":[1,true,\"s\"]}",
                 "<1><true><s>");
    assert_gives("{{ range .Values.l }}x{{ else }}none{{ end }}", "{\"l\":null}", "none");
    assert_gives("{{ range $k, $v := .Values.m }}{{ $k }}={{ $v }};{{ end }}",
                 "{\"m\":{\"b\":1,\"a\":2}}", "a=2;b=1;");
    assert_gives("{{ range $i, $v := .Values.l }}{{ $i }}{{ $v }}{{ end }}",
                 "{\"l\":[\"x\",\"y\"]}", "0x1y");
}

static void test_variables(void **state)
{
    (void)state;
    assert_gives("{{ $a := 1 }}{{ if true }}{{ $a := 2 }}{{ $a }}{{ end }}{{ $a }}", "{}", "21");
    assert_gives("{{ $a := 1 }}{{ if true }}{{ $a = 2 }}{{ end }}{{ $a }}", "{}", "2");
    assert_gives("{{ define \"t\" }}<{{ . }}{{ $ }}>{{ end }}{{ include \"t\" 5 }}", "{}", "<55>");
    assert_refused("{{ $a }}", "no variable $a");
    assert_refused("{{ define \"t\" }}{{ $a }}{{ end }}{{ $a := 1 }}{{ include \"t\" 5 }}",
                   "no variable $a"); /* templates see none but their own */
}

static void test_functions(void **state)
{
    (void)state;
    static const struct {
        const char *text, *values, *want;
    } cases[] = {
        {"{{ .Values.a | default 3 }}", "{\"a\":0}", "3"},
        {"{{ and 1 0 2 }}{{ or 0 \"\" 7 }}{{ not true }}", "{}", "07false"},
        {"{{ ne (int .Values.a) 5 }}{{ eq \"a\" \"b\" \"a\" }}", "{\"a\":\"5\"}", "falsetrue"},
        {"{{ ternary 1 2 (eq .Values.a \"x\") }}", "{\"a\":\"x\"}", "1"},
        {"{{ add .Values.a 37 }}", "{\"a\":5}", "42"},
        {"{{ join \",\" (list 1 \"b\" true) }}", "{}", "1,b,true"},
        {"{{ keys .Values.m | sortAlpha | join \" \" }}", "{\"m\":{\"z\":1,\"a\":2}}", "a z"},
        {"{{ prepend .Values.l 0 | toJson }}{{ append .Values.l 2 | toJson }}", "{\"l\":[1]}",
         "[0,1][1,2]"},
        {"{{ toJson .Values }}", "{\"b\":\"<&>\",\"a\":{}}",
         "{\"a\":{},\"b\":\"\\u003c\\u0026\\u003e\"}"},
        {"{{ dict \"k\" (dict) | toJson }}", "{}", "{\"k\":{}}"},
        {"{{ index (list 1 2) 1 }}{{ index .Values \"x.y\" }}", "{\"x.y\":3}", "23"},
        {"{{ \" a \" | trim }}|{{ \"a.json\" | trimSuffix \".json\" }}|{{ base \"x/y.z\" }}", "{}",
         "a|a|y.z"},
        {"{{ \"a\\nb\" | nindent 2 }}|{{ \"a\\n\" | indent 1 }}", "{}", "\n  a\n  b| a\n "},
        {"{{ .Values.q | quote }}{{ quote 5 }}", "{\"q\":\"a\\\"\\n\\u0001\"}",
         "\"a\\\"\\n\\x01\"\"5\""},
        {"{{ .Files.Get \"files/a.txt\" }}{{ .Files.Get \"none\" }}", "{}", "one\ntwo"},
        {"{{ range $p, $c := .Files.Glob \"files/*.txt\" }}{{ $p }}:{{ toString $c }}{{ end }}",
         "{}", "files/a.txt:one\ntwo"},
        {"{{ (fromYaml \"a: {b: 2}\").a.b }}{{ (fromJson \"[7]\") | toJson }}", "{}", "2[7]"},
        {"{{ $d := dict \"a\" 1 }}{{ $_ := set $d \"b\" $d }}{{ toJson $d }}", "{}",
         "{\"a\":1,\"b\":{\"a\":1}}"},
        {"{{ toYaml .Values }}", "{\"a\":[1,{\"b\":\"c\"}]}", "a:\n- 1\n- b: c"},
        {"{{ .Values.none }}|", "{}", "|"},
        {"{{ .Values.r }}", "{\"r\":0.25}", "0.25"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_gives(cases[i].text, cases[i].values, cases[i].want);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"\n\n{{ nope 1 }}", "t.yaml:3: a function that is not known"},
        {"{{ if true }}", "{{ end }} is missing"},
        {"{{ end }}", "of nothing"},
        {"{{ 1", "}}"},
        {"{{ \"a", "without an end"},
        {"{{ (1 }}", ") is missing"},
        {"{{ 1 | 2 }}", "no function"},
        {"{{ 1 2 }}", "no function is given arguments"},
        {"{{ 1.5 }}", "blank is missing"},
        {"{{ .Values.a.b }}", ".b of something that has no fields"},
        {"{{ list 1 }}", "toJson"},
        {"{{ range 5 }}{{ end }}", "no list"},
        {"{{ include \"none\" . }}", "no template"},
        {"{{ define \"t\" }}{{ include \"t\" . }}{{ end }}{{ include \"t\" . }}", "without an end"},
        {"{{ default 1 }}", "number of arguments"},
        {"{{ ternary 1 2 3 }}", "no boolean"},
        {"{{ .Get \"x\" }}", "no function is given arguments"},
        {"{{ Get \"x\" }}", "not known"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_refused(cases[i].text, cases[i].says);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_trimming), cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_variables),         cmocka_unit_test(test_functions),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
