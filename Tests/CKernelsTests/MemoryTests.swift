import CKernels
import Foundation
import Synchronization
import Testing

// Other tests allocate meanwhile, hence large blocks (never touched, so never backed) and a margin for what they take.
@Suite(.serialized, .enabled(if: getenv("RIFFLE_MEMORY") == nil, "blocks are exact")) struct MemoryTests {
    static let gigabyte = 1 << 30

    @Test(arguments: [
        0, 1, 64, 65, 512, 513, 1000, 4097, 1 << 20, (1 << 20) + 1, 3_000_000, (1 << 21) - 1, 1 << 21, 5 << 21,
    ])
    func blocksAreAlignedWritableAndReused(bytes: Int) throws {
        let block = try #require(rk_alloc(bytes))
        #expect(Int(bitPattern: block) % (bytes >= 1 << 21 ? 1 << 21 : 64) == 0)
        memset(block, 0x5a, bytes)
        rk_free(block, bytes)
        let blocks = try (0..<20).map { _ in try #require(rk_alloc(bytes)) }
        #expect(Set(blocks).count == 20)
        for (i, block) in blocks.enumerated() { memset(block, Int32(i), bytes) }
        for (i, block) in blocks.enumerated() where bytes > 0 {
            #expect(
                block.load(as: UInt8.self) == UInt8(i)
                    && block.load(fromByteOffset: bytes - 1, as: UInt8.self) == UInt8(i))
        }
        for block in blocks { rk_free(block, bytes) }
    }

    /// A large block serves those who ask for a little less, and is whole again for those who ask for all of it.
    @Test func largeBlocksAreLent() throws {
        let (bytes, fewer) = (9 << 25, 8 << 25)
        let block = try #require(rk_alloc(bytes))
        rk_free(block, bytes)
        let lent = try #require(rk_alloc(fewer))
        let other = try #require(rk_alloc(bytes))
        #expect(lent == block && other != block)
        rk_free(other, bytes)
        rk_free(lent, fewer)
        let whole = try #require(rk_alloc(bytes))
        #expect(whole == block)
        whole.storeBytes(of: 1, toByteOffset: bytes - 1, as: UInt8.self)
        rk_free(whole, bytes)
    }

    /// A block counts as what it really has: many that are lent would pass the limit in silence.
    @Test func lentBlocksCountWhole() throws {
        let (bytes, fewer) = (9 << 25, 8 << 25)
        rk_memory_clear_cache()
        rk_free(try #require(rk_alloc(bytes)), bytes)
        let before = rk_memory_now()
        let lent = try #require(rk_alloc(fewer))
        #expect(rk_memory_now().live - before.live >= bytes)
        rk_free(lent, fewer)
        #expect(rk_memory_now().live - before.live < bytes - fewer)
        // Where the whole block would pass the limit, a block of the size that is needed does not.
        defer { rk_memory_set_limit(0) }
        rk_memory_set_limit(rk_memory_now().live + (bytes + fewer) / 2)
        let fitting = try #require(rk_alloc(fewer))
        #expect(rk_memory_now().live <= rk_memory_now().limit)
        rk_free(fitting, fewer)
    }

    @Test func freeingWhatIsNoBlockEndsTheProcess() async {
        await #expect(processExitsWith: .signal(SIGABRT)) {
            let bytes = 5 << 21
            guard let block = rk_alloc(bytes), let other = rk_alloc(bytes) else { return }
            rk_free(block + (other > block ? 4096 : -4096), bytes)
        }
        await #expect(processExitsWith: .signal(SIGABRT)) {
            guard let block = rk_alloc(5 << 21) else { return }
            rk_free(block, 5 << 23)
        }
    }

    @Test func bytesAreCounted() throws {
        let standard = rk_memory_now().cache_limit
        defer { rk_memory_set_cache_limit(standard) }
        rk_memory_set_cache_limit(4 * Self.gigabyte)
        rk_memory_clear_cache()
        let before = rk_memory_now()
        let bytes = 2 * Self.gigabyte - 12345
        let block = try #require(rk_alloc(bytes))
        let during = rk_memory_now()
        let tolerance = bytes / 8
        #expect(abs(during.live - before.live - bytes) <= tolerance)
        #expect(during.peak >= during.live - tolerance)
        rk_free(block, bytes)
        let after = rk_memory_now()
        #expect(abs(after.live - before.live) <= tolerance)
        #expect(after.cached >= bytes)
        rk_memory_clear_cache()
        #expect(rk_memory_now().cached <= tolerance)
        #expect(rk_memory_now().peak >= bytes)
        rk_memory_reset_peak()
        #expect(rk_memory_now().peak <= tolerance + before.live)
    }

    @Test func limitsAreKept() throws {
        let standard = rk_memory_now().limit
        defer { rk_memory_set_limit(0) }
        #expect(standard > 0 && standard <= Int(ProcessInfo.processInfo.physicalMemory))
        for impossible in [standard + 1, Int.max / 2, Int.max] { #expect(rk_alloc(impossible) == nil) }
        rk_memory_set_limit(rk_memory_now().live + 4 * Self.gigabyte)
        #expect(rk_alloc(5 * Self.gigabyte) == nil)
        let held = try #require(rk_alloc(3 * Self.gigabyte))
        #expect(rk_alloc(3 * Self.gigabyte) == nil)
        rk_free(held, 3 * Self.gigabyte)
        // What is cached does not count against those who need another size.
        let other = try #require(rk_alloc(7 * Self.gigabyte / 2))
        rk_free(other, 7 * Self.gigabyte / 2)
        rk_memory_set_limit(0)
        #expect(rk_memory_now().limit == standard)
    }

    @Test func cacheIsBounded() throws {
        let standard = rk_memory_now().cache_limit
        defer { rk_memory_set_cache_limit(standard) }
        rk_memory_set_cache_limit(100 << 20)
        for bytes in [30 << 20, 40 << 20, 50 << 20, 60 << 20, 200 << 20] {
            let blocks = try (0..<3).map { _ in try #require(rk_alloc(bytes)) }
            for block in blocks { rk_free(block, bytes) }
            #expect(rk_memory_now().cached <= 100 << 20)
        }
        rk_memory_set_cache_limit(0)
        #expect(rk_memory_now().cached == 0)
    }

    @Test func manyThreadsAtOnce() {
        let faults = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 8) { t in
            var held: [(UnsafeMutableRawPointer, Int)] = []
            for i in 0..<4000 {
                let bytes = 8 + (i * 7919 + t * 31) % 5000
                guard let block = rk_alloc(bytes) else {
                    faults.withLock { $0 += 1 }
                    continue
                }
                block.storeBytes(of: t * 10_000 + bytes, as: Int.self)
                held.append((block, bytes))
                if held.count > 50 || i % 3 == 0 {
                    let (block, bytes) = held.remove(at: i % held.count)
                    if block.load(as: Int.self) != t * 10_000 + bytes { faults.withLock { $0 += 1 } }
                    rk_free(block, bytes)
                }
            }
            for (block, bytes) in held { rk_free(block, bytes) }
        }
        #expect(faults.withLock { $0 } == 0)
    }
}

/// Each process here is one of its own, which ends where memory is touched that may not be.
@Suite struct ExactMemoryTests {
    static let isSanitized = dlsym(nil, "__asan_init") != nil
    static let trap: ExitTest.Condition = isSanitized ? .exitCode(1) : .signal(SIGSEGV)

    /// They hold what was asked for, are aligned as far as their end allows, and begin as NaN.
    @Test func blocksAreWhole() async {
        await #expect(processExitsWith: .success) {
            setenv("RIFFLE_MEMORY", "exact", 1)
            for bytes in [0, 4, 12, 64, 100, 4095, 4096, 4100, 1 << 21, (3 << 21) + 4] {
                let block = try #require(rk_alloc(bytes))
                let alignment = min(64, bytes & -bytes)
                if bytes > 0 { #expect(Int(bitPattern: block) % alignment == 0) }
                if bytes >= 4 {
                    #expect(
                        block.loadUnaligned(as: Float.self).isNaN
                            && (block + bytes - 4).loadUnaligned(as: Float.self).isNaN)
                }
                memset(block, 0x5a, bytes)
                #expect(rk_memory_now().live == bytes)
                rk_free(block, bytes)
                #expect(rk_memory_now().live == 0 && rk_memory_now().cached == 0)
            }
        }
    }

    @Test func blocksTrapBehindTheirEnd() async {
        await #expect(processExitsWith: Self.trap) {
            setenv("RIFFLE_MEMORY", "exact", 1)
            rk_alloc(100)?.storeBytes(of: 1, toByteOffset: 100, as: UInt8.self)
        }
        await #expect(processExitsWith: Self.trap) {
            setenv("RIFFLE_MEMORY", "exact", 1)
            rk_alloc(4096 * 3 + 4)?.storeBytes(of: 1, toByteOffset: 4096 * 3 + 4, as: UInt8.self)
        }
    }

    @Test func blocksTrapOnceFreed() async {
        await #expect(processExitsWith: Self.trap) {
            setenv("RIFFLE_MEMORY", "exact", 1)
            let block = rk_alloc(100)
            rk_free(block, 100)
            block?.storeBytes(of: 1, as: UInt8.self)
        }
    }

    /// AddressSanitizer knows where the allocator's own blocks end, and which of them are in the cache.
    @Test(.enabled(if: isSanitized, "the tests run without AddressSanitizer"))
    func sanitizersKnowOrdinaryBlocks() async {
        await #expect(processExitsWith: Self.trap) {
            rk_alloc(100)?.storeBytes(of: 1, toByteOffset: 100, as: UInt8.self)
        }
        await #expect(processExitsWith: Self.trap) {
            let bytes = 5 << 21
            rk_alloc(bytes)?.storeBytes(of: 1, toByteOffset: bytes, as: UInt8.self)
        }
        await #expect(processExitsWith: Self.trap) {
            let block = rk_alloc(100)
            rk_free(block, 100)
            block?.storeBytes(of: 1, toByteOffset: 50, as: UInt8.self)
        }
    }
}
