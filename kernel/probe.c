/*
 * probe.c - process 1 of kernel/boot's test machine
 *
 * Says that it runs and switches the machine off.  No libc: a kernel has to be
 * testable where no static one is installed.
 */

#define SYS_write	1
#define SYS_reboot	169

#define REBOOT_MAGIC1	0xfee1dead
#define REBOOT_MAGIC2	672274793
#define REBOOT_POWER_OFF 0x4321fedc

static long call(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

void _start(void)
{
	static const char text[] = "evum: init reached\n";

	call(SYS_write, 1, (long)text, sizeof(text) - 1);
	for (;;)
		call(SYS_reboot, REBOOT_MAGIC1, REBOOT_MAGIC2,
		     REBOOT_POWER_OFF);
}
