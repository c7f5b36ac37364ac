// Threads that help with a run: whoever comes claims tasks, and nobody waits for those who never come.
#ifndef EDGEWISE_TEAM_H
#define EDGEWISE_TEAM_H

#include <atomic>
#include <cstdint>
#include <memory>

#include "edgewise_kernels.h"

namespace ew {

// A run is a sequence of phases; a phase is a number of tasks in any order. The leader begins phases and works on
// them like everybody else. Since a task is claimed by one atomic addition, a helper may arrive at any time.
class Team {
 public:
  using Body = void (*)(void *context, int task, int slot);

  Team(const ew_host *host, int most_phases) : host_(host && host->threads > 1 ? host : nullptr) {
    if (!host_) return;
    phases_.reset(new Phase[most_phases + 1]);
    host_->start(host_->context, &Team::help, this, host_->threads - 1);
  }
  ~Team() {
    if (!host_) return;
    over_.store(true, std::memory_order_release);
    host_->join(host_->context);
  }
  Team(const Team &) = delete;
  Team &operator=(const Team &) = delete;

  // Runs body(context, 0 .. total - 1, slot); a slot is held by one thread, and the leader's is 0.
  void run(Body body, void *context, int total) {
    if (!host_ || total == 1) {
      for (int task = 0; task < total; task++) body(context, task, 0);
      return;
    }
    const uint64_t phase = ++last_phase_;
    Phase &mine = phases_[phase];
    mine.body = body, mine.context = context, mine.total = total;
    mine.grain = (total + kField / 2 - 1) / (kField / 2);
    mine.units = (total + mine.grain - 1) / mine.grain;
    ticket_.store(phase << (2 * kFieldBits), std::memory_order_release);
    while (work(0)) {
    }
    for (int spins = 0; mine.done.load(std::memory_order_acquire) < mine.units; spins++) relax(spins);
  }

  static void relax(int spins);

 private:
  struct alignas(64) Phase {
    Body body = nullptr;
    void *context = nullptr;
    int total = 0, grain = 1, units = 0;  // a unit is as many tasks as the grain
    std::atomic<int> done{0};
  };

  // The ticket holds the phase, how many units were claimed from the front and how many from the back. Even slots
  // claim from the front and odd ones from the back, so that a thread finds the rows that it wrote itself.
  static constexpr int kFieldBits = 21;
  static constexpr int kField = 1 << kFieldBits;

  bool work(int slot) {
    uint64_t seen = ticket_.load(std::memory_order_acquire);
    if (claimed(seen) >= phases_[seen >> (2 * kFieldBits)].units) return false;
    seen = ticket_.fetch_add(slot % 2 ? uint64_t{kField} : 1, std::memory_order_acq_rel);
    Phase &phase = phases_[seen >> (2 * kFieldBits)];
    if (claimed(seen) >= phase.units) return false;
    const int unit = slot % 2 ? phase.units - 1 - back(seen) : front(seen);
    const int end = phase.total - unit * phase.grain < phase.grain ? phase.total : (unit + 1) * phase.grain;
    for (int task = unit * phase.grain; task < end; task++) phase.body(phase.context, task, slot);
    phase.done.fetch_add(1, std::memory_order_acq_rel);
    return true;
  }

  static int front(uint64_t ticket) { return static_cast<int>(ticket & (kField - 1)); }
  static int back(uint64_t ticket) { return static_cast<int>(ticket >> kFieldBits & (kField - 1)); }
  static int claimed(uint64_t ticket) { return front(ticket) + back(ticket); }

  static void help(void *arg);

  const ew_host *host_;
  std::unique_ptr<Phase[]> phases_;
  uint64_t last_phase_ = 0;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int> slots_{1};
  std::atomic<bool> over_{false};
};

}  // namespace ew
#endif
