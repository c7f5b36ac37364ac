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
    ticket_.store(phase << 32, std::memory_order_release);
    while (work(0)) {
    }
    for (int spins = 0; mine.done.load(std::memory_order_acquire) < total; spins++) relax(spins);
  }

  static void relax(int spins);

 private:
  struct Phase {
    Body body = nullptr;
    void *context = nullptr;
    int total = 0;
    std::atomic<int> done{0};
  };

  bool work(int slot) {
    uint64_t seen = ticket_.load(std::memory_order_acquire);
    if (static_cast<uint32_t>(seen) >= static_cast<uint32_t>(phases_[seen >> 32].total)) return false;
    seen = ticket_.fetch_add(1, std::memory_order_acq_rel);
    Phase &phase = phases_[seen >> 32];
    const int task = static_cast<int>(static_cast<uint32_t>(seen));
    if (task >= phase.total) return false;
    phase.body(phase.context, task, slot);
    phase.done.fetch_add(1, std::memory_order_acq_rel);
    return true;
  }

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
