using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Training;

namespace Diffract.Tests.Training;

/// <summary>The memory that a training says it takes against what its buffers hold; alone, since the count is of the whole process.</summary>
[CollectionDefinition(nameof(TrainingMemoryTests), DisableParallelization = true)]
[Collection(nameof(TrainingMemoryTests))]
public sealed class TrainingMemoryTests
{
    [Theory]
    [InlineData(CrosscoderKind.BatchTopK, 0, false)]
    [InlineData(CrosscoderKind.BatchTopK, 0, true)]
    [InlineData(CrosscoderKind.L1, -1.0, false)]
    [InlineData(CrosscoderKind.L1, 0.6, false)]
    public void A_training_holds_what_its_plan_says(CrosscoderKind kind, double denseAbove, bool dead)
    {
        TrainingConfig config = new()
        {
            Crosscoder = new CrosscoderConfig(kind, 3000, [96, 96]) { K = 16 },
            Steps = 6,
            Batch = 256,
            Warmup = 1,
            Mu = 0.02,
            DenseAbove = denseAbove,
            DeadAfter = dead ? 256 : 1_000_000,
            Clip = TrainingConfig.DefaultClip(kind),
        };
        long before = HostBuffer.AllocatedBytes;
        using CpuBackend backend = new(CpuPaths.Best, 2);
        using Crosscoder crosscoder = new(config.Crosscoder, backend);
        CrosscoderInit.Paper(CrosscoderKind.BatchTopK, 1).Apply(crosscoder);
        using Trainer trainer = new(config, crosscoder, new Noise(config.Crosscoder.ModelOffsets));
        using TemporaryFolder folder = new();
        using (TrainingLog log = new(Path.Combine(folder.Path, "log.jsonl"), 0))
        {
            trainer.Run(new TrainingOutputs(log), new SilentProgress());
        }

        Assert.Equal(dead, trainer.State.Firing.Dead.Length > 0);
        int most = trainer.State.Firing.Dead.Length;
        long held = HostBuffer.AllocatedBytes - before, planned = TrainingMemory.Bytes(config) + TrainingMemory.DeadBytes(config, most);
        string what = $"{kind}, dense above {denseAbove}, {most} dead: {held / 1e6:F2} MB held, {planned / 1e6:F2} MB planned";
        Assert.True(held <= planned, what);
        Assert.True(held > (dead ? 0.6 : 0.85) * planned, what);
    }

    /// <summary>What a user is told: three copies of the weights, and little beside them.</summary>
    [Fact]
    public void A_plan_is_three_copies_of_the_weights_and_some_batches()
    {
        TrainingConfig config = new() { Crosscoder = new CrosscoderConfig(CrosscoderKind.BatchTopK, 73728, [2304, 2304]) { K = 100 }, Steps = 1, Batch = 2048, Clip = 1 };
        double copy = 2.0 * 73728 * 4608 * sizeof(float);
        Assert.InRange(TrainingMemory.Bytes(config) / copy, 3, 3.25);
    }

    [Fact]
    public void Too_little_memory_is_refused_with_numbers_and_a_size_that_fits()
    {
        TrainingConfig config = new() { Crosscoder = new CrosscoderConfig(CrosscoderKind.BatchTopK, 8192, [256, 256]) { K = 32 }, Steps = 1, Batch = 1024, Clip = 1 };
        TrainingMemory.Require([config], new MemoryBudget(TrainingMemory.Bytes(config)));
        DiffractException refused = Assert.Throws<DiffractException>(() => TrainingMemory.Require([config], new MemoryBudget(TrainingMemory.Bytes(config) - 1)));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("8,192 latents", refused.Message, StringComparison.Ordinal);
        Assert.Contains("weights and moments are 97 MiB", refused.Message, StringComparison.Ordinal);
        Assert.Contains("--latents 4096 would take", refused.Message, StringComparison.Ordinal);
        Assert.Contains("train fewer at once", Assert.Throws<DiffractException>(() => TrainingMemory.Require([config, config], new MemoryBudget(1))).Message, StringComparison.OrdinalIgnoreCase);
        Assert.InRange(MemoryBudget.Available().Bytes, 1 << 20, long.MaxValue);
    }

    sealed class Noise(int[] offsets) : IBatchSource
    {
        public int[] ModelOffsets => offsets;

        public long DistinctTokens => 1_000_000;

        public void Fill(long index, Matrix acts_BE)
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                Span<float> row = acts_BE.Row(b);
                for (int c = 0; c < row.Length; c++)
                {
                    row[c] = (float)Draws.Uniform(1, (ulong)(b * row.Length + c), (ulong)index) - 0.5f;
                }
            }
        }
    }
}
