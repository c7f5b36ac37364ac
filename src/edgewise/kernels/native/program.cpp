// From the integers that describe a chain to its maps and steps, checked.
#include <algorithm>
#include <stdexcept>

#include "chain.h"

namespace ew {
namespace {

constexpr int kMost = 1 << 16;

void require(bool holds, int step, const char *rule) {
  if (!holds) throw std::invalid_argument("step " + std::to_string(step) + " of a chain: " + rule);
}

Step read_step(const int32_t *ints, int number, const ew_chain &chain) {
  Step s{};
  const int32_t *value = ints;
  for (int *field : {&s.kind, &s.source, &s.residual, &s.out_channels, &s.kernel_h, &s.kernel_w, &s.stride_h, &s.stride_w, &s.pad_h,
                     &s.pad_w, &s.dilation_h, &s.dilation_w, &s.relu, &s.pool, &s.kept_channels, &s.kept_positions, &s.path, &s.before})
    *field = *value++;
  const int n_maps = static_cast<int>(chain.maps.size());
  require(s.kind == EW_CONV || s.kind == EW_SHORTCUT, number, "its kind must be a convolution or a shortcut");
  require(s.source >= 0 && s.source < n_maps, number, "it must read an earlier map");
  require(s.out_channels >= 1 && s.out_channels <= kMost, number, "channels must lie in 1..65536");
  require(std::min({s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w}) >= 1, number,
          "kernel, stride and dilation must be at least 1");
  require(std::max({s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_h, s.pad_w}) <= 4096, number,
          "kernel, stride, padding and dilation must be at most 4096");
  require(s.pad_h >= 0 && s.pad_w >= 0, number, "padding must not be negative");
  require(s.path >= EW_AUTO && s.path <= EW_SCATTER, number, "its path must be 0 to 3");
  return s;
}

void shape_conv(Step &s, int number, ew_chain &chain) {
  Map &in = chain.maps[s.source];
  const int64_t high = in.height + 2 * s.pad_h - static_cast<int64_t>(s.kernel_h - 1) * s.dilation_h - 1;
  const int64_t wide = in.width + 2 * s.pad_w - static_cast<int64_t>(s.kernel_w - 1) * s.dilation_w - 1;
  require(high >= 0 && wide >= 0, number, "the kernel must fit the padded map");
  s.out_h = static_cast<int>(high / s.stride_h) + 1;
  s.out_w = static_cast<int>(wide / s.stride_w) + 1;
  require(!s.pool || (s.out_h >= 2 && s.out_w >= 2), number, "a pooled map must be at least 2x2");
  require(s.kept_channels >= 1 && s.kept_channels <= in.channels, number, "kept channels must lie in 1..channels of the source");
  require(s.kept_positions >= 1 && s.kept_positions <= in.pixels(), number, "kept positions must lie in 1..pixels of the source");
  s.channel_gate = s.kept_channels < in.channels;
  s.position_gate = s.kept_positions < in.pixels();
  in.pad_h = std::max(in.pad_h, s.pad_h);
  in.pad_w = std::max(in.pad_w, s.pad_w);
  if (s.residual >= 0) {
    require(s.residual < static_cast<int>(chain.maps.size()), number, "the residual must be an earlier map");
    const Map &add = chain.maps[s.residual];
    require(add.channels == s.out_channels && add.height == s.out_h && add.width == s.out_w, number,
            "the residual must have the shape of the convolution's output");
  }
}

void shape_shortcut(Step &s, int number, ew_chain &chain) {
  const Map &in = chain.maps[s.source];
  require(s.residual < 0 && !s.pool && !s.relu, number, "a shortcut adds, pools and activates nothing");
  s.out_h = (in.height - 1) / s.stride_h + 1;
  s.out_w = (in.width - 1) / s.stride_w + 1;
}

void assign_slots(ew_chain &chain) {
  const int n = static_cast<int>(chain.maps.size());
  std::vector<int> last(n, 0);
  for (int i = 0; i + 1 < n; i++)
    for (int map : {chain.steps[i].source, chain.steps[i].residual})
      if (map >= 0) last[map] = i + 1;  // read while map i + 1 is written
  last[n - 1] = n;
  std::vector<int> busy_until;  // by slot
  for (int m = 0; m < n; m++) {
    int slot = 0;
    while (slot < static_cast<int>(busy_until.size()) && busy_until[slot] >= m) slot++;
    if (slot == static_cast<int>(busy_until.size())) busy_until.push_back(0), chain.slot_sizes.push_back(0);
    busy_until[slot] = std::max(last[m], m);
    chain.maps[m].slot = slot;
    chain.slot_sizes[slot] = std::max(chain.slot_sizes[slot], chain.maps[m].size);
  }
}

void lay_out(Map &map) {
  int lines = (map.channels + kLine - 1) / kLine;
  if (lines >= 8 && lines % 2 == 0) lines++;  // pixels side by side must not share the sets of a cache
  map.pitch = lines * kLine;
  map.row = static_cast<int64_t>(map.width + 2 * map.pad_w) * map.pitch;
  map.size = map.row * (map.height + 2 * map.pad_h);
  if (map.size > (1 << 30)) throw std::invalid_argument("a map of a chain must have fewer than 2^30 values, padding included");
  map.at.reserve(map.pixels());
  for (int y = 0; y < map.height; y++)
    for (int x = 0; x < map.width; x++) map.at.push_back(static_cast<int32_t>(map.offset(y, x)));
}

}  // namespace

void read_program(const int32_t *program, int n_ints, ew_chain &chain) {
  if (n_ints < EW_HEAD_INTS || program[EW_HEAD_FORMAT] != EW_FORMAT)
    throw std::invalid_argument("a chain must be described in format 1, got another or nothing");
  const int n_steps = program[EW_HEAD_STEPS];
  if (n_steps < 1 || n_steps > kMost || n_ints != EW_HEAD_INTS + n_steps * EW_STEP_INTS)
    throw std::invalid_argument("a chain must have as many integers as its steps need");
  Map input;
  input.channels = program[EW_HEAD_CHANNELS], input.height = program[EW_HEAD_HEIGHT], input.width = program[EW_HEAD_WIDTH];
  if (std::min({input.channels, input.height, input.width}) < 1 || std::max({input.channels, input.height, input.width}) > kMost)
    throw std::invalid_argument("the input's sizes must lie in 1..65536");
  chain.layout = program[EW_HEAD_LAYOUT];
  if (chain.layout != 0 && chain.layout != 1) throw std::invalid_argument("the layout must be 0 (NCHW) or 1 (NHWC)");
  chain.maps.push_back(std::move(input));
  for (int i = 0; i < n_steps; i++) {
    Step s = read_step(program + EW_HEAD_INTS + i * EW_STEP_INTS, i, chain);
    if (s.kind == EW_CONV)
      shape_conv(s, i, chain);
    else
      shape_shortcut(s, i, chain);
    chain.maps[s.source].readers++;
    if (s.residual >= 0) chain.maps[s.residual].readers++;
    if (s.channel_gate) chain.maps[s.source].channel_sums = true;
    if (s.position_gate) chain.maps[s.source].position_sums = true;
    Map out;
    out.channels = s.out_channels;
    out.height = s.pool ? s.out_h / 2 : s.out_h;
    out.width = s.pool ? s.out_w / 2 : s.out_w;
    chain.maps.push_back(std::move(out));
    chain.steps.push_back(std::move(s));
  }
  for (Map &map : chain.maps) lay_out(map);
  assign_slots(chain);
  for (Step &s : chain.steps) {
    s.shared = s.gated() && chain.maps[s.source].readers > 1;
    if (s.shared) chain.pruned_size = std::max(chain.pruned_size, chain.maps[s.source].size);
  }
}

}  // namespace ew
