/* Convolutions over the channels and positions that each input keeps: the plain C interface.
 *
 * A chain is a run of convolutions (with activation, pooling, residual sums) over maps that stay in memory as
 * pixels of channels (NHWC) from the first step to the last. Gates may stand before each convolution: attention
 * comes from the map's own means, the top k are kept for every image of a batch on its own, ties go to the lowest
 * index, and only what is kept is multiplied. All functions may be called from several threads at once.
 */
#ifndef EDGEWISE_KERNELS_H
#define EDGEWISE_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EW_API __attribute__((visibility("default")))
#define EW_FORMAT 1

/* A chain is described by integers: a header, then steps of EW_STEP_INTS each. Step i writes map i + 1; map 0 is
 * the input. The last step's map is the output. */
enum {
  EW_HEAD_FORMAT,   /* EW_FORMAT */
  EW_HEAD_CHANNELS, /* of the input */
  EW_HEAD_HEIGHT,
  EW_HEAD_WIDTH,
  EW_HEAD_LAYOUT, /* 0: input and output are NCHW; 1: both are NHWC */
  EW_HEAD_STEPS,
  EW_HEAD_INTS
};

enum {
  EW_STEP_KIND, /* EW_CONV or EW_SHORTCUT */
  EW_STEP_SOURCE,
  EW_STEP_RESIDUAL, /* map added before the activation, or -1 */
  EW_STEP_OUT_CHANNELS,
  EW_STEP_KERNEL_H,
  EW_STEP_KERNEL_W,
  EW_STEP_STRIDE_H,
  EW_STEP_STRIDE_W,
  EW_STEP_PAD_H,
  EW_STEP_PAD_W,
  EW_STEP_DILATION_H,
  EW_STEP_DILATION_W,
  EW_STEP_RELU,
  EW_STEP_POOL,           /* 1: 2x2 max pooling with stride 2 behind the activation */
  EW_STEP_KEPT_CHANNELS,  /* of the source; its channels where nothing is pruned */
  EW_STEP_KEPT_POSITIONS, /* of the source; height * width where nothing is pruned */
  EW_STEP_PATH,           /* EW_AUTO... */
  EW_STEP_BEFORE,         /* of a shortcut: zero channels put in front (negative: channels dropped) */
  EW_STEP_INTS
};

enum { EW_CONV = 0, EW_SHORTCUT = 1 };
/* How a gated convolution is computed: over a map with zeros, over the list of kept channels of a map with zeroed
 * positions, or from kept positions into the outputs they reach. All give the same up to rounding. */
enum { EW_AUTO = 0, EW_DENSE = 1, EW_CHANNELS = 2, EW_SCATTER = 3 };

typedef struct ew_chain ew_chain;
typedef struct ew_pool ew_pool;

/* Where further threads come from. start calls help(arg) on up to `count` threads, at once or later or never;
 * join returns when those that began have ended and no other will begin. */
typedef struct {
  void *context;
  int threads; /* in all, the caller's included */
  void (*start)(void *context, void (*help)(void *), void *arg, int count);
  void (*join)(void *context);
} ew_host;

/* Names of variants that this processor can run, best first, joined by commas. */
EW_API const char *ew_variants(void);
/* Digest of the sources, as given at compile time. */
EW_API const char *ew_sources(void);

/* Weights are [out][in][kh][kw] and biases [out], one of each for every convolution in order; both are copied.
 * variant: a name, or NULL for the best. Returns NULL and fills error on wrong descriptions. */
EW_API ew_chain *ew_chain_create(const int32_t *program, int n_ints, const float *const *weights, const float *const *biases,
                                 const char *variant, char *error, int error_size);
EW_API void ew_chain_destroy(ew_chain *chain);
/* Channels, height, width of a map (0: the input; the number of steps: the output). */
EW_API void ew_chain_shape(const ew_chain *chain, int map, int32_t shape[3]);
/* The output's channels, height, width from a description alone; 1 where it is wrong. */
EW_API int ew_program_shape(const int32_t *program, int n_ints, int32_t shape[3]);
/* Bytes of the packed weights. */
EW_API int64_t ew_chain_bytes(const ew_chain *chain);
/* The path of a step, as chosen or measured. */
EW_API int ew_chain_path(const ew_chain *chain, int step);
EW_API int ew_chain_set_path(ew_chain *chain, int step, int path);
/* Measures the paths of every gated step that is EW_AUTO on maps of noise, and keeps the fastest. */
EW_API int ew_chain_tune(ew_chain *chain, int batch, const ew_host *host, int repeats);
/* Runs a batch. host may be NULL for the caller's thread alone. Returns 0, or 1 when memory is short. */
EW_API int ew_chain_run(ew_chain *chain, const float *input, float *output, int batch, const ew_host *host);
/* The same; masks[i], where not NULL, receives for gated step i batch * (channels + positions) bytes, 1 for kept. */
EW_API int ew_chain_run_masks(ew_chain *chain, const float *input, float *output, int batch, const ew_host *host, uint8_t *const *masks);

/* The same; step_s receives the seconds of every step. */
EW_API int ew_chain_run_timed(ew_chain *chain, const float *input, float *output, int batch, const ew_host *host, double *step_s);

/* A pool of threads of this library's own, for hosts that have none. */
EW_API ew_pool *ew_pool_create(int threads);
EW_API void ew_pool_destroy(ew_pool *pool);
EW_API const ew_host *ew_pool_host(ew_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
