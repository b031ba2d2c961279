/* What the C library keeps of memory that is no longer used. Elsewhere than in glibc both functions
 * do nothing. */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

/* To be called once, before the first thread begins. */
void daemon_memory_begin(void);
/* Hands free memory back to the system, from every part of the heap; takes milliseconds. */
void daemon_memory_give_back(void);

#endif
