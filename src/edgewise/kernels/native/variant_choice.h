// What is kept: sums of maps, and the largest of them. The last part of variant_body.h.
namespace ew {
namespace {

inline int count_from(const int32_t *keys, int n, int32_t least) {
  I counts = {};
  for (int i = 0; i < n; i += L) counts -= *reinterpret_cast<const I *>(keys + i) >= least;
  int all = 0;
  for (int i = 0; i < L; i++) all += counts[i];
  return all;
}

// Writes the numbers of the lanes whose bits are set, and gives their count. Up to L numbers behind may be overwritten.
inline int put_lanes(uint32_t lanes, int first, int32_t *to) {
#if EW_LANES == 16
  I numbers;
  for (int i = 0; i < L; i++) numbers[i] = first + i;
  const __m512i packed = _mm512_maskz_compress_epi32(static_cast<__mmask16>(lanes), (__m512i)numbers);
  _mm512_storeu_si512(to, packed);
  return __builtin_popcount(lanes);
#else
  int n = 0;
  for (; lanes; lanes &= lanes - 1) to[n++] = first + __builtin_ctz(lanes);
  return n;
#endif
}

inline uint32_t lanes_of(I truth) {
#if EW_LANES == 16
  return _mm512_movepi32_mask((__m512i)truth);
#elif EW_LANES == 8
  return static_cast<uint32_t>(_mm256_movemask_ps((__m256)truth));
#else
  uint32_t lanes = 0;
  for (int i = 0; i < L; i++) lanes |= static_cast<uint32_t>(truth[i] & 1) << i;
  return lanes;
#endif
}

// The largest threshold that `kept` keys or more reach, found bit by bit below those that all keys share.
inline int32_t find_threshold(const int32_t *keys, int n, int filled, int kept, int32_t low, int32_t high, int *reach) {
  const uint32_t sign = 0x80000000u, shared = (static_cast<uint32_t>(low) ^ static_cast<uint32_t>(high));
  const int top = shared ? 31 - __builtin_clz(shared) : -1;
  uint32_t threshold = static_cast<uint32_t>(low) ^ sign;
  threshold = top == 31 ? 0 : threshold >> (top + 1) << (top + 1);
  *reach = n;
  for (int bit = top; bit >= 0 && *reach != kept; bit--) {
    const uint32_t higher = threshold | (1u << bit);
    const int count = count_from(keys, filled, static_cast<int32_t>(higher ^ sign));
    if (count >= kept) threshold = higher, *reach = count;
  }
  return static_cast<int32_t>(threshold ^ sign);
}

void select(const float *scores, int n, int kept, int32_t *keys, int32_t *chosen) {
  if (kept >= n) {
    for (int i = 0; i < n; i++) chosen[i] = i;
    return;
  }
  // Keys have the order of the scores as signed numbers; -0 equals 0.
  int32_t low = INT32_MAX, high = INT32_MIN;
  for (int i = 0; i < n; i++) {
    const float score = scores[i] + 0.0f;
    int32_t bits;
    __builtin_memcpy(&bits, &score, 4);
    bits ^= (bits >> 31) & 0x7fffffff;
    bits = score != score ? INT32_MAX : bits;
    keys[i] = bits;
    low = bits < low ? bits : low;
    high = bits > high ? bits : high;
  }
  const int filled = (n + 15) / 16 * 16;
  for (int i = n; i < filled; i++) keys[i] = INT32_MIN;
  int reach;
  const int32_t least = find_threshold(keys, n, filled, kept, low, high, &reach);
  const int above = reach == kept ? 0 : least == INT32_MAX ? 0 : count_from(keys, filled, least + 1);
  int ties = reach == kept ? n : kept - above, m = 0;
  for (int i = 0; i < n && m < kept; i += L) {
    const I those = *reinterpret_cast<const I *>(keys + i);
    uint32_t equal = lanes_of(those == least);
    const uint32_t more = lanes_of(those > least);
    while (__builtin_popcount(equal) > ties) equal &= ~(1u << (31 - __builtin_clz(equal)));
    ties -= __builtin_popcount(equal);
    m += put_lanes(more | equal, i, chosen + m);
  }
}

void attend(const float *map, const int32_t *at, int n_pixels, int channels, float *channel_sums, float *position_sums) {
  // Pads behind the channels are zero, up to a multiple of 16.
  for (int c = 0; c < channels; c += L) store(channel_sums + c, V{});
  for (int i = 0; i < n_pixels; i++) {
    const float *pixel = map + at[i];
    V all = {};
    for (int c = 0; c < channels; c += L) {
      const V value = load(pixel + c);
      store(channel_sums + c, load(channel_sums + c) + value);
      all += value;
    }
    if (position_sums) position_sums[i] = total(all);
  }
}

}  // namespace
}  // namespace ew
