namespace Diffract.Tests.House;

/// <summary>The layout of the sources, and that each rule catches what it is there for.</summary>
public sealed class HouseTests
{
    static readonly (string Path, string Text)[] Sources = [.. Read("src"), .. Read("tests"), .. Read("bench")];

    [Fact]
    public void Arrows_point_one_way() => Holds(HouseRules.Arrows, "src/");

    [Fact]
    public void Namespaces_are_folders() => Holds(HouseRules.NamespaceIsFolder, "src/", "tests/", "bench/");

    [Fact]
    public void Files_are_short_or_say_why() => Holds(HouseRules.Length, "src/", "tests/", "bench/");

    [Fact]
    public void Few_files_are_long() => Assert.Empty(HouseRules.FewLongFiles(Sources));

    [Fact]
    public void Nothing_is_unfinished() => Holds(HouseRules.Finished, "src/", "tests/", "bench/");

    [Fact]
    public void There_are_sources_to_look_at()
    {
        Assert.Contains(Sources, f => f.Path == "src/Diffract/Runs/RunFolder.cs");
        Assert.Contains(Sources, f => f.Path == "tests/Diffract.Tests/House/HouseTests.cs");
        Assert.Contains(Sources, f => f.Path.StartsWith("bench/", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("src/Diffract/Tokens/X.cs", "using Diffract.Llms;", "Tokens comes before Llms")]
    [InlineData("src/Diffract/Runs/X.cs", "using static Diffract.Formats.Y;", "Runs comes before Formats")]
    [InlineData("src/Diffract/Scaling/X.cs", "using A = Diffract.Evidence.B;", "Scaling comes before Evidence")]
    [InlineData("src/Diffract/Formats/X.cs", "global using Diffract.Pipeline;", "Formats comes before Pipeline")]
    [InlineData("src/Diffract/Formats/X.cs", "    Diffract.Text.Turn turn = new();", "Formats comes before Text")]
    [InlineData("src/Diffract/Latents/X.cs", "using Diffract.Cpu;", "not a room before it")]
    [InlineData("src/Diffract/Latents/X.cs", "using Diffract.Cpu.Matmul;", "not a room before it")]
    [InlineData("src/Diffract/Common/X.cs", "using Diffract.Runs;", "in no room")]
    [InlineData("src/Diffract.Cpu/Matmul/X.cs", "using Diffract.Runs;", "kernels know only")]
    [InlineData("src/Diffract.Compute/Kernels/X.cs", "using Diffract.Cpu;", "kernels know only")]
    public void A_planted_arrow_is_caught(string path, string line, string says)
        => Assert.Contains(says, Assert.Single(HouseRules.Arrows(path, "using System;\n" + line + "\n")), StringComparison.Ordinal);

    [Theory]
    [InlineData("src/Diffract/Evidence/X.cs", "using Diffract.Scaling;\nusing Diffract.Compute.Buffers;\nusing Diffract.Evidence;")]
    [InlineData("src/Diffract.Cpu/Matmul/X.cs", "using Diffract.Compute.Buffers;\nusing Diffract.Cpu.Threads;")]
    [InlineData("src/Diffract.Cli/X.cs", "using Diffract.Cpu;\nusing Diffract.Pipeline;")]
    public void An_allowed_arrow_is_not(string path, string text) => Assert.Empty(HouseRules.Arrows(path, text));

    [Theory]
    [InlineData("src/Diffract/Tokens/X.cs", "namespace Diffract.Text;")]
    [InlineData("src/Diffract/Tokens/X.cs", "namespace Diffract;")]
    [InlineData("src/Diffract/Tokens/X.cs", "class X;")]
    [InlineData("tests/Diffract.Tests/Tokens/X.cs", "namespace Diffract.Tokens;")]
    public void A_planted_namespace_is_caught(string path, string text) => Assert.Single(HouseRules.NamespaceIsFolder(path, text));

    [Fact]
    public void A_planted_long_file_is_caught()
    {
        Assert.Empty(HouseRules.Length("a.cs", Lines(400)));
        Assert.Single(HouseRules.Length("a.cs", Lines(401)));
        Assert.Empty(HouseRules.Length("a.cs", "// Long because the cases belong together.\n" + Lines(700)));
        Assert.Single(HouseRules.Length("a.cs", Lines(10) + "// Long because it is said too late.\n" + Lines(700)));
        Assert.Single(HouseRules.Length("a.cs", "// Long because.\n" + Lines(800)));

        (string, string)[] files = [.. Enumerable.Range(0, 100).Select(i => ($"{i}.cs", Lines(i < 3 ? 500 : 5)))];
        Assert.Empty(HouseRules.FewLongFiles(files));
        Assert.Single(HouseRules.FewLongFiles([.. files, ("long.cs", Lines(500))]));

        static string Lines(int count) => string.Concat(Enumerable.Repeat("x\n", count));
    }

    [Theory]
    [InlineData("// TO", "DO: later")]
    [InlineData("// FIX", "ME")]
    [InlineData("throw new NotImplemented", "Exception();")]
    public void A_planted_loose_end_is_caught(string half, string otherHalf)
        => Assert.Contains("line 2", Assert.Single(HouseRules.Finished("a.cs", "x\n" + half + otherHalf)), StringComparison.Ordinal);

    static void Holds(Func<string, string, IEnumerable<string>> rule, params string[] under)
        => Assert.Empty(Sources.Where(f => under.Any(u => f.Path.StartsWith(u, StringComparison.Ordinal))).SelectMany(f => rule(f.Path, f.Text)));

    static IEnumerable<(string Path, string Text)> Read(string folder)
        => Directory.EnumerateFiles(Path.Combine(GoldenFiles.Root, folder), "*.cs", SearchOption.AllDirectories)
            .Select(f => (Path: Path.GetRelativePath(GoldenFiles.Root, f).Replace('\\', '/'), Text: File.ReadAllText(f).Replace("\r\n", "\n", StringComparison.Ordinal)))
            .Where(f => !f.Path.Contains("/obj/", StringComparison.Ordinal) && !f.Path.Contains("/bin/", StringComparison.Ordinal));
}
