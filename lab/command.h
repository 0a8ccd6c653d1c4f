#pragma once
/* The daemons and verbs of fairlead-labd: each takes the arguments after its name (argv[0] is the
 * name) and returns the exit code of docs/cli.md. */

int apiserver_command(int argc, char **argv);
int controllers_command(int argc, char **argv);
int node_command(int argc, char **argv);
int dns_command(int argc, char **argv);
int supervise_command(int argc, char **argv);
int up_command(int argc, char **argv);
int down_command(int argc, char **argv);
int status_command(int argc, char **argv);
int exec_command(int argc, char **argv);
int kubeconfig_command(int argc, char **argv);
int image_command(int argc, char **argv);
int connect_command(int argc, char **argv);
