using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Latents;

namespace Diffract.Tests.Latents;

/// <summary>The latent table as a file: columns that are there only where they say something.</summary>
public sealed class LatentTableTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    string Path => System.IO.Path.Combine(_folder.Path, LatentTable.FileName);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Rates_of_system_turns_and_designated_latents_have_a_column_where_there_are_any(bool system, bool partitioned)
    {
        LatentRow[] rows = [Row(0, system ? 0.25 : double.NaN, partitioned), Row(1, system ? 0 : double.NaN, false)];
        LatentTable.Write(Path, rows);
        string header = File.ReadLines(Path).First();
        Assert.Equal((system, partitioned), (header.Contains(",template_share,system_freq", StringComparison.Ordinal), header.EndsWith(",by_construction", StringComparison.Ordinal)));
        Assert.Equal(rows, LatentTable.Read(Path));
    }

    /// <summary>Six tokens, the latent active on the fourth and the fifth: on one of the two of a system turn, on none of the answer's.</summary>
    [Fact]
    public unsafe void Tokens_of_system_turns_are_counted()
    {
        byte[] roles = [1, 2, 32, 32, 4, 8];
        using SparseCode code = new(6, 1, 2) { Tokens = 6, Pairs = 2 };
        (code.LatentStart.Ints[0], code.LatentStart.Ints[1]) = (0, 2);
        (code.PairToken.Ints[0], code.PairToken.Ints[1], code.PairValue.Floats[0], code.PairValue.Floats[1]) = (3, 4, 1.5f, 0.5f);
        Matrix scale_L = Matrix.Host(1, 1);
        using IBuffer owner = scale_L.Buffer;
        scale_L.Row(0)[0] = 2;
        LatentCounts counts = new(1);
        counts.Add(code, scale_L, roles);
        LatentVectors none = new(1, 1, 0.5, 1);
        Assert.Equal(new RoleRates(0, 0, 1, 0, double.NaN) { System = 0.5 }, counts.Row(0, none, none).Rates);
    }

    static LatentRow Row(int latent, double system, bool partitioned)
        => new(latent, 1, 2, 0.5, 0.1, 1, 1, 0.5, 1, LatentClasses.Of(0.5), 100, 0.01, new RoleRates(0.1, 0.2, 0.3, 0.4, 0.5) { System = system }, 3, 2, 0.25, false) { ByConstruction = partitioned };
}
