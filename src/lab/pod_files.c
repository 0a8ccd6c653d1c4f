/* The files a pod gets from its node: /etc/hosts, /etc/hostname, /etc/resolv.conf, the termination
 * message file, and its volumes. Written below the pod's directory; containers see them through
 * bind mounts. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lab/node_priv.h"

const char *pod_hostname(const struct pod *p)
{
    const char *hostname = json_at_str(p->object, "spec.hostname");
    return p->host_network ? p->node->options->name : str_empty(hostname) ? p->name : hostname;
}

static void add_hosts(struct pod *p, struct buf *b)
{
    const char *subdomain = json_at_str(p->object, "spec.subdomain"), *host = pod_hostname(p);
    const struct ip *ips[] = {&p->net.v4, &p->net.v6};
    char text[IP_TEXT_BYTES];
    json_t *alias, *name;
    size_t i, k;
    buf_add_cstr(b, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost "
                    "ip6-localhost ip6-loopback\n");
    for (i = 0; i < ARRAY_LEN(ips); i++) {
        if (!ips[i]->family)
            continue;
        buf_addf(b, "%s\t", ip_format(ips[i], text));
        if (!str_empty(subdomain))
            buf_addf(b, "%s.%s.%s.svc.%s\t", host, subdomain, p->ns,
                     p->node->options->cluster_domain);
        buf_addf(b, "%s\n", host);
    }
    json_array_foreach(json_at(p->object, "spec.hostAliases"), i, alias)
    {
        buf_addf(b, "%s", json_key_str(alias, "ip") ? json_key_str(alias, "ip") : "#");
        json_array_foreach(json_at(alias, "hostnames"), k, name)
            buf_addf(b, "\t%s", json_string_value(name));
        buf_add_char(b, '\n');
    }
}

static void add_list(struct buf *b, const char *prefix, const char *separator, const json_t *list)
{
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) if (json_string_value(item))
        buf_addf(b, "%s%s", i == 0 ? prefix : separator, json_string_value(item));
}

static void add_resolv(struct pod *p, struct buf *b)
{
    const struct node_options *o = p->node->options;
    const char *policy = json_at_str(p->object, "spec.dnsPolicy");
    json_t *config = json_at(p->object, "spec.dnsConfig"), *option;
    bool none = streq(policy, "None"),
         cluster = !none && !streq(policy, "Default") && o->cluster_dns;
    size_t i;
    if (p->host_network && !streq(policy, "ClusterFirstWithHostNet"))
        cluster = false;
    if (cluster)
        buf_addf(b, "nameserver %s\n", o->cluster_dns);
    add_list(b, "nameserver ", "\nnameserver ", json_at(config, "nameservers"));
    if (json_at(config, "nameservers"))
        buf_add_char(b, '\n');
    if (cluster)
        buf_addf(b, "search %s.svc.%s svc.%s %s", p->ns, o->cluster_domain, o->cluster_domain,
                 o->cluster_domain);
    add_list(b, cluster ? " " : "search ", " ", json_at(config, "searches"));
    if (cluster || json_at(config, "searches"))
        buf_add_char(b, '\n');
    if (cluster)
        buf_add_cstr(b, "options ndots:5\n");
    json_array_foreach(json_at(config, "options"), i, option)
    {
        const char *name = json_key_str(option, "name"), *value = json_key_str(option, "value");
        if (name)
            buf_addf(b, "options %s%s%s\n", name, value ? ":" : "", value ? value : "");
    }
}

static json_t *find_config(const char *kind, const char *name, void *user)
{
    return pod_inputs_config(((struct pod *)user)->inputs, kind, name);
}

static const char *find_token(const char *audience, void *user)
{
    return pod_inputs_token(((struct pod *)user)->inputs, audience);
}

static int make_volumes(struct pod *p, struct err *reterr)
{
    char dir[512];
    const struct volume_inputs in = {find_config, find_token, p};
    json_t *volume;
    size_t i;
    pod_dir_file(p, dir, sizeof(dir), "volumes");
    json_array_foreach(json_at(p->object, "spec.volumes"), i, volume)
    {
        AUTO_CHARS char *path = NULL;
        int r = volume_make(volume, p->object, dir, &in, &path, reterr);
        if (r < 0) {
            AUTO_CHARS char *prefix = xasprintf("MountVolume.SetUp failed for volume \"%s\" ",
                                                json_key_str(volume, "name"));
            err_prefix(reterr, NULL, prefix);
            return r;
        }
    }
    return 0;
}

int pod_files_make(struct pod *p, struct err *reterr)
{
    static const char *const dirs[] = {"etc", "volumes", "logs", "scratch", "messages"};
    char path[512];
    AUTO_DONE(buf) struct buf hosts = {0}, resolv = {0}, hostname = {0};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        int r = make_directories(pod_dir_file(p, path, sizeof(path), "%s", dirs[i]), reterr);
        if (r < 0)
            return r;
    }
    add_hosts(p, &hosts);
    add_resolv(p, &resolv);
    buf_addf(&hostname, "%s\n", pod_hostname(p));
    int r =
        write_file(pod_dir_file(p, path, sizeof(path), "etc/hosts"), buf_str(&hosts), 0644, reterr);
    if (r == 0)
        r = write_file(pod_dir_file(p, path, sizeof(path), "etc/hostname"), buf_str(&hostname),
                       0644, reterr);
    if (r == 0)
        r = write_file(pod_dir_file(p, path, sizeof(path), "etc/resolv.conf"), buf_str(&resolv),
                       0644, reterr);
    return r < 0 ? r : make_volumes(p, reterr);
}

static void add_mount(container_mounts *list, char *source, const char *target)
{
    struct container_mount m = {source, xstrdup(target), false};
    vec_push(list, m);
}

int pod_container_mounts(struct pod_container *c, container_mounts *ret, struct err *reterr)
{
    static const char *const files[] = {"hosts", "hostname", "resolv.conf"};
    struct pod *p = c->pod;
    char path[512];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_CHARS char *target = xasprintf("/etc/%s", files[i]);
        add_mount(ret, xstrdup(pod_dir_file(p, path, sizeof(path), "etc/%s", files[i])), target);
    }
    const char *message = json_at_str(c->spec, "terminationMessagePath");
    pod_dir_file(p, path, sizeof(path), "messages/%s", c->name);
    int r = write_file(path, STR(""), 0666, reterr);
    if (r < 0)
        return r;
    add_mount(ret, xstrdup(path), message && message[0] == '/' ? message : "/dev/termination-log");
    pod_dir_file(p, path, sizeof(path), "volumes");
    return volume_mounts(c->spec, p->object, path, ret, reterr);
}
