/* Whether this build has a sanitizer. It makes loops ten times slower, and no figure is more
 * accurate under it: tests of accuracy draw less there, and those that compare kernels leave out
 * large shapes, whose code smaller ones run too. */
#ifndef SANITIZED_H
#define SANITIZED_H

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define TEST_SANITIZED 1
#else
#define TEST_SANITIZED 0
#endif

#endif
