// What one variant of the kernels (AVX-512, AVX2, portable) offers to the engine.
#ifndef EDGEWISE_VARIANT_H
#define EDGEWISE_VARIANT_H

#include <stdint.h>

namespace ew {

// One multiplication of a sum: offsets of a value from a pixel's window, and of the row of weights that it meets.
struct Entry {
  int32_t x;
  int32_t row;
};

constexpr int kAhead = 24;  // entries past the end of a list that may be read, for prefetching

// What becomes of sums: bias is in them; then residual, activation, pooling, attention sums.
struct Finish {
  int n_pixels;           // a multiple of 4 where pooled
  int relu, pool;
  const float *residual;  // or null
  const int32_t *residual_at;
  float *out;
  const int32_t *out_at;  // one for each pixel, or for each pooled window
  float *channel_sums;    // set; or null
  float *position_sums;   // set, one for each written pixel; or null
};

struct Direct {
  const float *x;
  const int32_t *x_at;  // window of each pixel
  const Entry *list;
  int n_list, group;     // entries in all, and those that all pixels take before the next ones
  const float *weights;  // [row][vectors * lanes, or more]
  const float *next;     // weights that this thread will probably need next, or null
  const float *bias;
  float *sums;  // where they stay between groups: [pixel][vectors * lanes]
  int vectors;
  int pitch;  // floats from pixel to pixel where three entries at a time are the taps of a row, side by side; or 0
  int wide;   // floats from row to row of the weights
  bool nearest;  // whether what comes next is fetched into the nearest cache
  Finish finish;
};

// Kept positions of a row of a map that meet the three taps of a row of weights together: n side by side from the first on,
// or one alone, and a second one that is alone (-1: none).
struct Piece {
  int32_t n, first, second;
};

struct Scatter {
  const float *x;
  const int32_t *x_at;    // kept positions
  const int32_t *sum_at;  // where each adds to, in pixels of the strip of sums; of three taps the last, and a pixel on for each before
  int n_positions;
  const Piece *pieces;    // the same positions, by their places in the whole list; null where taps are taken one by one
  int n_pieces;
  const int32_t *all_x_at, *all_sum_at;  // the whole list
  const Entry *list;      // kept channels, and the rows of their first taps
  int n_list;
  int wide;              // floats from row to row of the weights
  const float *weights;  // shifted to the row of the tap, or of the first of three
  float *sums;           // [pixel][vectors * lanes]
  int vectors;
  const Entry *fetch;  // rows that come later, as many as the list has (three times as many for three taps), or null
  const float *later;  // weights of theirs
  const float *next;   // weights that this thread will probably need next, or null
};

struct Strip {
  const float *sums;
  const int32_t *sum_at;  // in pixels
  int32_t first;          // subtracted from sum_at
  int vectors;
  Finish finish;
};

struct Variant {
  const char *name;
  int lanes, most_vectors;  // vectors of output channels computed together, at most
  int longest;              // of the pieces of kept positions side by side
  void (*direct)(const Direct &);
  void (*scatter)(const Scatter &);
  void (*fill)(float *sums, const float *bias, int64_t pixels, int vectors);  // the bias in every pixel of a strip
  void (*strip)(const Strip &);
  // The `kept` largest of n scores, ascending; of equal ones the first; NaN is largest. keys: n rounded up to 16;
  // chosen: kAhead more than n.
  void (*select)(const float *scores, int n, int kept, int32_t *keys, int32_t *chosen);
  // Sums of a map of n_pixels whose pixels lie at `at`, over pixels and (unless null) over channels.
  void (*attend)(const float *map, const int32_t *at, int n_pixels, int channels, float *channel_sums, float *position_sums);
};

const Variant *portable();
const Variant *avx2();    // null where not compiled in
const Variant *avx512();

}  // namespace ew
#endif
