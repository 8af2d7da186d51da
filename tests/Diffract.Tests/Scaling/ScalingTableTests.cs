using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Tests.Scaling;

public sealed class ScalingTableTests : IDisposable
{
    readonly string _path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void The_table_reads_back_bit_for_bit()
    {
        ScalingRow[] rows =
        [
            new(0, 123, 0.1, 1 / 3.0, -2e-300, 4, 5, 6, 7, 8, 9, 10, 11, 12, Verdict.ChatSpecific),
            new(1, 0, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN, Verdict.Undecided),
            new(2, 7, 1, 0, 1, 1, 1, 1, 1, 0, double.PositiveInfinity, double.NaN, double.NegativeInfinity, 1, Verdict.Both),
        ];
        ScalingTable.Write(_path, rows);
        Assert.Equal(rows, ScalingTable.Read(_path));
        Assert.Contains(",beta_ratio_error,", File.ReadLines(_path).First(), StringComparison.Ordinal);

        File.WriteAllText(_path, File.ReadAllText(_path).Replace("chat_specific", "perhaps", StringComparison.Ordinal));
        Assert.Contains("line 2 is not the row of latent 0", Assert.Throws<DiffractException>(() => ScalingTable.Read(_path)).Message, StringComparison.Ordinal);
    }
}
