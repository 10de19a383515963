import CKernels
import Foundation
import Synchronization
import Testing

@Suite struct ThreadTests {
    /// Counts how often each item was visited, and the pieces by their bounds.
    final class Visits: Sendable {
        let items: Mutex<[Int]>, pieces = Mutex<Set<[Int]>>([])
        let nested: Bool
        init(_ count: Int, nested: Bool = false) {
            items = Mutex([Int](repeating: 0, count: count))
            self.nested = nested
        }

        func run(grain: Int) {
            let count = items.withLock(\.count)
            rk_parallel_for(
                count, grain,
                { context, begin, end in
                    let visits = Unmanaged<Visits>.fromOpaque(context!).takeUnretainedValue()
                    visits.pieces.withLock { _ = $0.insert([begin, end]) }
                    if visits.nested { Visits(50).check(grain: 7) }
                    visits.items.withLock { for i in begin..<end { $0[i] += 1 } }
                }, Unmanaged.passUnretained(self).toOpaque())
        }

        func check(grain: Int) {
            run(grain: grain)
            let count = items.withLock(\.count)
            #expect(items.withLock { $0.allSatisfy { $0 == 1 } })
            let wanted = stride(from: 0, to: count, by: grain).map { [$0, min(count, $0 + grain)] }
            #expect(pieces.withLock { $0 } == Set(wanted))
        }
    }

    @Test(arguments: [0, 1, 2, 999, 1000], [1, 7, 1000])
    func eachPieceRunsOnceWhateverTheThreads(count: Int, grain: Int) {
        let before = rk_threads()
        defer { rk_threads_set(before) }
        for threads in [1, 4, 2, 9, 3] {
            rk_threads_set(Int32(threads))
            Visits(count).check(grain: grain)
        }
        Visits(count, nested: true).check(grain: grain)
    }

    @Test func callsFromManyThreadsAtOnce() {
        let before = rk_threads()
        defer { rk_threads_set(before) }
        rk_threads_set(3)
        DispatchQueue.concurrentPerform(iterations: 6) { i in
            for _ in 0..<300 { Visits(40 + i).check(grain: 3) }
        }
    }

    @Test func numberOfThreadsIsAtLeastOne() {
        let before = rk_threads()
        defer { rk_threads_set(before) }
        #expect(before >= 1)
        rk_threads_set(-5)
        #expect(rk_threads() == 1)
    }

    @Test func contextBelongsToTheThreadAndGoesWithIt() throws {
        /// Joined, as destructors run behind the thread's own code.
        func inThread(_ body: @escaping @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?) throws
            -> UnsafeMutableRawPointer?
        {
            var thread = pthread_t(), result: UnsafeMutableRawPointer?
            try #require(pthread_create(&thread, nil, body, nil) == 0)
            pthread_join(thread, &result)
            return result
        }
        let seen = try inThread { _ in
            rk_thread_set_context(UnsafeMutableRawPointer(bitPattern: 42)) { pointer in
                released.add(UInt(bitPattern: pointer), ordering: .relaxed)
            }
            return rk_thread_context()
        }
        #expect(seen == UnsafeMutableRawPointer(bitPattern: 42))
        #expect(released.load(ordering: .relaxed) == 42)
        #expect(try inThread { _ in rk_thread_context() } == nil)
    }

    @Test func processorIsNamed() {
        #expect(!String(cString: rk_cpu_name()).isEmpty)
        atEachLevel { #expect(rk_cpu() == $0) }
    }
}

/// The sum of the contexts that were released.
private let released = Atomic<UInt>(0)
