import Foundation
import RiffleTensor

/// Makes batches on a thread of its own, in the order in which they were asked for.
///
/// The thread begins with the first batch and lives until `stop`. It holds this object, not the object's owner, so that
/// an owner that is dropped can stop it.
final class ReadAhead: @unchecked Sendable {
    /// A batch that was asked for. Everything in it is guarded by the condition of its reader.
    final class Job: @unchecked Sendable {
        fileprivate let draws: [Draw]
        fileprivate var result: Result<Batch, any Error>?
        fileprivate var isCancelled = false
        private let condition: NSCondition

        fileprivate init(_ draws: [Draw], _ condition: NSCondition) {
            self.draws = draws
            self.condition = condition
        }

        /// Says that nobody will wait for this batch.
        func cancel() { condition.withLock { isCancelled = true } }
    }

    private let set: any SampleSet
    private let condition = NSCondition()
    private var jobs: [Job] = []
    private var isRunning = false
    private var isStopped = false

    init(_ set: any SampleSet) { self.set = set }

    /// Asks for a batch.
    func begin(_ draws: [Draw]) -> Job {
        let job = Job(draws, condition)
        condition.withLock {
            jobs.append(job)
            condition.broadcast()
            if !isRunning { start() }
            isRunning = true
        }
        return job
    }

    /// The batch, when it is there. Throws the error that it met, or when the user interrupts.
    func wait(for job: Job) throws -> Batch {
        condition.lock()
        defer { condition.unlock() }
        while job.result == nil {
            try Interrupt.check()
            _ = condition.wait(until: Date(timeIntervalSinceNow: 0.05))
        }
        return try job.result?.get() ?? { throw RiffleError("", "a batch was lost") }()
    }

    /// Ends the thread when it has made the batch that it is at.
    func stop() {
        condition.withLock {
            isStopped = true
            jobs = []
            condition.broadcast()
        }
    }

    private func start() {
        // Signals belong to the thread that runs Lua.
        var all = sigset_t()
        var old = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &old)
        let thread = Thread { self.work() }
        thread.stackSize = 1 << 21
        thread.start()
        pthread_sigmask(SIG_SETMASK, &old, nil)
    }

    private func work() {
        while let job = next() {
            let result = Result { try set.batch(job.draws) }
            condition.withLock {
                job.result = result
                condition.broadcast()
            }
        }
    }

    private func next() -> Job? {
        condition.lock()
        defer { condition.unlock() }
        while true {
            jobs.removeAll(where: \.isCancelled)
            if isStopped { return nil }
            if !jobs.isEmpty { return jobs.removeFirst() }
            condition.wait()
        }
    }
}
