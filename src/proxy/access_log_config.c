/* From an AccessLog message to an access log: where to, in which form, which requests. */
#include <errno.h>

#include <envoy/extensions/access_loggers/file/v3/file.pb-c.h>
#include <envoy/extensions/access_loggers/stream/v3/stream.pb-c.h>

#include "codec/pb_json.h"
#include "codec/pb_msg.h"
#include "proxy/access_log.h"
#include "proxy/data_source.h"

typedef Envoy__Config__Core__V3__SubstitutionFormatString pb_format;
typedef Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog pb_file;

static const char default_format[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

static int use_text(struct access_log *l, struct str text, struct err *err)
{
    return format_compile(text, l->arena, &l->format, err);
}

static int use_json(struct access_log *l, const Google__Protobuf__Struct *m, bool texts,
                    struct err *err)
{
    AUTO_JSON json_t *j = NULL;
    int r = pb_json_print(&m->base, NULL, &j, err);
    if (r < 0)
        return r;
    l->is_json = true;
    l->json.texts = texts;
    return log_json_compile(j, l->arena, &l->json, &l->format, err);
}

static int use_source(struct access_log *l, const Envoy__Config__Core__V3__DataSource *m,
                      struct err *err)
{
    struct compile c = {.scratch = l->arena, .err = err};
    struct str text = {NULL, 0};
    pb_path_field(&c.path, "text_format_source");
    int r = data_source_read(&c, m, &text);
    return r < 0 ? r : use_text(l, text, err);
}

static int use_format(struct access_log *l, const pb_format *f, struct err *err)
{
    if (!f)
        return use_text(l, str_from(default_format), err);
    l->json.omit = f->omit_empty_values;
    switch ((unsigned)f->format_case) {
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT:
        return use_text(l, str_from(f->text_format), err);
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT:
        return use_json(l, f->json_format, false, err);
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE:
        return use_source(l, f->text_format_source, err);
    default:
        return err_set(err, -EINVAL, "log_format",
                       "one of text_format, text_format_source and json_format must be set");
    }
}

static int read_file(struct access_log *l, const pb_file *f, struct err *err)
{
    int r;
    switch ((unsigned)f->access_log_format_case) {
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_FORMAT:
        r = use_text(l, str_from(f->format), err);
        break;
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_JSON_FORMAT:
        r = use_json(l, f->json_format, true, err);
        break;
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_TYPED_JSON_FORMAT:
        r = use_json(l, f->typed_json_format, false, err);
        break;
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT:
        r = use_format(l, f->log_format, err);
        break;
    default:
        r = use_text(l, str_from(default_format), err);
    }
    if (r < 0)
        return r;
    if (streq(f->path, "/dev/stdout") || streq(f->path, "/dev/stderr")) {
        l->fd = streq(f->path, "/dev/stdout") ? 1 : 2;
        return 0;
    }
    l->path = xstrdup(f->path);
    l->fd = access_log_open(l->path);
    return l->fd < 0 ? err_set(err, l->fd, NULL, "%s: %s", l->path, strerror(-l->fd)) : 0;
}

/* What stands in the Any: where to, and how. */
static int read_config(const Google__Protobuf__Any *any, struct access_log *l, struct err *err)
{
    struct str type = pb_type_name(str_from(any->type_url));
    struct str bytes = str_of(any->value.data, any->value.len);
    bool file = str_is(type, "envoy.extensions.access_loggers.file.v3.FileAccessLog");
    bool out = str_is(type, "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog");
    const ProtobufCMessageDescriptor *d =
        file ? &envoy__extensions__access_loggers__file__v3__file_access_log__descriptor
             : &envoy__extensions__access_loggers__stream__v3__stdout_access_log__descriptor;
    ProtobufCMessage *m; /* of stderr alike */
    int r = pb_unpack(d, bytes, l->arena, &m, err);
    if (r < 0)
        return r;
    if (file)
        return read_file(l, (const pb_file *)(const void *)m, err);
    l->fd = out ? 1 : 2;
    return use_format(
        l, ((const Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog *)m)->log_format,
        err);
}

static void note_wants(struct access_log *l)
{
    for (size_t i = 0; i < l->format.n; i++) {
        enum format_op op = (enum format_op)l->format.pieces[i].op;
        l->wants_grpc |= op == FORMAT_GRPC_STATUS || op == FORMAT_GRPC_STATUS_NUMBER;
        l->wants_local |= op == FORMAT_UPSTREAM_LOCAL_ADDRESS;
    }
}

int access_log_compile(const Envoy__Config__Accesslog__V3__AccessLog *m, struct pb_path *path,
                       struct access_log **ret, struct err *reterr)
{
    struct access_log *l = access_log_new();
    struct err err = {0};
    size_t mark = path->n;
    bool grpc = false;
    int r = m->typed_config ? read_config(m->typed_config, l, &err)
                            : err_set(&err, -EINVAL, NULL, "typed_config must be set");
    if (r < 0)
        r = pb_path_fail(path, reterr, r, "%s", err_text(&err));
    if (r == 0 && m->filter) {
        pb_path_field(path, "filter");
        r = log_filter_compile(m->filter, l->arena, path, &l->filter, &grpc, reterr);
    }
    if (r < 0) {
        access_log_unref(l);
        return r;
    }
    pb_path_back(path, mark);
    note_wants(l);
    l->wants_grpc |= grpc;
    *ret = l;
    return 0;
}

int access_logs_compile(Envoy__Config__Accesslog__V3__AccessLog *const *m, size_t n,
                        struct pb_path *path, struct access_logs *ret, struct err *reterr)
{
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(path, "access_log");
        struct access_log *log;
        pb_path_index(path, i);
        int r = access_log_compile(m[i], path, &log, reterr);
        if (r < 0)
            return r;
        vec_push(ret, log);
        ret->wants_grpc |= log->wants_grpc;
        ret->wants_local |= log->wants_local;
        pb_path_back(path, mark);
    }
    return 0;
}
