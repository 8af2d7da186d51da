using Diffract.Compute.Buffers;
using Diffract.Compute.Checks;
using Diffract.Compute.Kernels;

namespace Diffract.Kernels.Tests;

/// <summary>The checks that <c>diffract doctor</c> prints.</summary>
public sealed class KernelChecksTests
{
    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Every_operation_of_every_set_is_checked_and_agrees(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        KernelCheck[] checks = [.. KernelChecks.Run(backend)];
        Type[] sets = [typeof(ICrosscoderKernels), typeof(ITransformerKernels), typeof(IScalingKernels)];
        Assert.Equal(sets.SelectMany(s => s.GetMethods()).Select(m => m.Name).Order(StringComparer.Ordinal), checks.Select(c => c.Op).Order(StringComparer.Ordinal));
        Assert.All(checks, c => Assert.True(c.Passed, $"{c.Op}: {c.Error} of {c.Allowed}"));
    }

    [Theory]
    [InlineData(1 + 1e-3)]
    [InlineData(double.NaN)]
    public void A_kernel_that_is_off_is_found(double factor)
    {
        using Skewed backend = new(BackendsUnderTest.Create("vector-1"), factor);
        Assert.Equal(["Accumulate"], KernelChecks.Run(backend).Where(c => !c.Passed).Select(c => c.Op));
    }

    /// <summary>One number of one operation is wrong.</summary>
    sealed class Skewed(IBackend inner, double factor) : IBackend, IScalingKernels
    {
        public string Name => inner.Name;

        public string Description => inner.Description;

        public string KernelPath => inner.KernelPath;

        public ICrosscoderKernels Crosscoder => inner.Crosscoder;

        public ITransformerKernels Transformer => inner.Transformer;

        public IScalingKernels Scaling => this;

        public IBuffer Allocate(ElementType type, long length) => inner.Allocate(type, length);

        public void Upload(ReadOnlySpan<float> source, Matrix target) => inner.Upload(source, target);

        public void Download(Matrix source, Span<float> target) => inner.Download(source, target);

        public void Accumulate(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
        {
            inner.Scaling.Accumulate(code, acts_BE, recon_BE, directions_LD, modelOffsets, sums);
            Span<double> values = sums.Span<double>();
            int largest = 0;
            for (int i = 0; i < values.Length; i++)
            {
                largest = Math.Abs(values[i]) > Math.Abs(values[largest]) ? i : largest;
            }

            values[largest] *= factor;
        }

        public void Dispose() => inner.Dispose();
    }
}
