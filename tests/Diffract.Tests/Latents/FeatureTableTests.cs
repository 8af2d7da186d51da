using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Tests.Latents;

/// <summary>Published latent tables: read, changed, written, with what others put there.</summary>
public sealed class FeatureTableTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Foreign_columns_are_kept_to_the_letter()
    {
        string path = _folder.File("in.csv", ",note,dec_norm_diff,dead,\"a, b\"\r\n0,\"says \"\"x\"\", then\n more\",0.10,True,\r\n1,,,False,1e-07\r\n");
        FeatureTable table = FeatureTable.Read(path);
        Assert.Equal(["note", "dec_norm_diff", "dead", "a, b"], table.Columns);
        Assert.Equal([0.1, double.NaN], table.Numbers("dec_norm_diff"));
        Assert.Equal([1.0, 0.0], table.Numbers("dead"));
        table.Set("dec_norm_diff", [0.25, double.NaN]);
        table.Set("freq", [0.5, 1e-9]);
        string output = Path.Combine(_folder.Path, "out.csv");
        table.Write(output);
        Assert.Equal(",note,dec_norm_diff,dead,\"a, b\",freq\n0,\"says \"\"x\"\", then\n more\",0.25,True,,0.5\n1,,,False,1e-07,1E-09\n", File.ReadAllText(output));
        Assert.Equal(table.Columns, FeatureTable.Read(output).Columns);
    }

    [Theory]
    [InlineData("", "does not begin with an unnamed column")]
    [InlineData("x,a\n0,1\n", "does not begin with an unnamed column")]
    [InlineData(",a,a\n0,1,2\n", "has the column a twice")]
    [InlineData(",a,b\n0,1\n", "record 1 is not the row of latent 0 with 2 columns")]
    [InlineData(",a\n0,1\n2,1\n", "record 2 is not the row of latent 1")]
    [InlineData(",a\n0,\"1\n", "ends inside quotes")]
    public void Tables_that_are_damaged_are_refused(string text, string wanted)
        => Assert.Contains(wanted, Assert.Throws<DiffractException>(() => FeatureTable.Read(_folder.File("in.csv", text))).Message, StringComparison.Ordinal);

    [Fact]
    public void A_missing_column_is_named()
    {
        FeatureTable table = FeatureTable.Read(_folder.File("in.csv", ",a,b\n0,x,2\n"));
        Assert.Contains("no column freq; it has a, b", Assert.Throws<DiffractException>(() => table.Numbers("freq")).Message, StringComparison.Ordinal);
        Assert.Contains("has 'x', wanted a number", Assert.Throws<DiffractException>(() => table.Numbers("a")).Message, StringComparison.Ordinal);
    }
}
