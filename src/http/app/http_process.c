/* The process_ metrics that every Prometheus client library has, from /proc. */
#include "http_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    double count = 0.0;
    if (!d)
        return 0.0;
    while (readdir(d))
        count += 1.0;
    closedir(d);
    return count - 3.0; /* ".", ".." and the folder itself */
}

/* Field `number` (as proc(5) counts, from 1) of /proc/self/stat, whose second one may hold anything
 * between parentheses. */
static double stat_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');
    for (int i = 2; at && i < number; i++)
        at = strchr(at + 1, ' ');
    return at ? strtod(at, NULL) : 0.0;
}

static double boot_time(void)
{
    char line[256];
    double seconds = 0.0;
    FILE *f = fopen("/proc/stat", "re");
    if (!f)
        return 0.0;
    while (seconds == 0.0 && fgets(line, sizeof line, f))
        if (strncmp(line, "btime ", 6) == 0)
            seconds = strtod(line + 6, NULL);
    fclose(f);
    return seconds;
}

int http_process_text(struct buf *out, struct err *e)
{
    char stat[1024] = "";
    struct rlimit limit = {0};
    FILE *f = fopen("/proc/self/stat", "re");
    if (f) {
        size_t n = fread(stat, 1, sizeof stat - 1, f);
        stat[n] = '\0';
        fclose(f);
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    const double ticks = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"cpu_seconds_total", "counter", "Processor time",
         (stat_field(stat, 14) + stat_field(stat, 15)) / ticks},
        {"open_fds", "gauge", "Open file descriptors", open_files()},
        {"max_fds", "gauge", "File descriptors that may be open", (double)limit.rlim_cur},
        {"virtual_memory_bytes", "gauge", "Virtual memory", stat_field(stat, 23)},
        {"resident_memory_bytes", "gauge", "Resident memory", stat_field(stat, 24) * page},
        {"threads", "gauge", "Threads", stat_field(stat, 20)},
        {"start_time_seconds", "gauge", "When the process started",
         boot_time() + stat_field(stat, 22) / ticks},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && result == 0; i++)
        result = buf_format(
            out, e, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.17g\n", rows[i].name,
            rows[i].help, rows[i].name, rows[i].type, rows[i].name, rows[i].value);
    return result;
}
