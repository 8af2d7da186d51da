using System.Text.RegularExpressions;

namespace Diffract.Tests.House;

/// <summary>The rules of the layout that a compiler cannot see. Each takes paths (from the root, with forward slashes) and text, and lists what breaks it.</summary>
static partial class HouseRules
{
    /// <summary>Rooms of the main project; one may use itself and those before it. Planted stands beside Pipeline.</summary>
    static readonly string[] Rooms =
        ["Runs", "Formats", "Text", "Tokens", "Llms", "Activations", "Crosscoders", "Training", "Latents", "Scaling", "Evidence", "Reports", "Pipeline", "Planted"];

    const int LongFile = 400;
    const int LongestFile = 800;
    const int MarkWithin = 10;

    // Put together here, so that this file does not break its own rule.
    static readonly string[] Unfinished = ["TO" + "DO", "FIX" + "ME", "NotImplemented" + "Exception"];

    /// <summary>Left may not look right, the main project knows no concrete backend, and kernels know neither it nor, in the contract, the CPU's.</summary>
    public static IEnumerable<string> Arrows(string path, string text)
    {
        string[] parts = path.Split('/');
        foreach (string used in Uses.Matches(text).Select(m => m.Groups[1].Value).Distinct())
        {
            string room = used.Split('.')[1];
            switch (parts[1])
            {
                case "Diffract":
                    int from = Array.IndexOf(Rooms, parts[2]), to = Array.IndexOf(Rooms, room);
                    if (from < 0)
                    {
                        yield return $"{path} is in no room of the house";
                    }
                    else if (room != "Compute" && to < 0)
                    {
                        yield return $"{path} uses {used}, which is not a room before it";
                    }
                    else if (to > from)
                    {
                        yield return $"{path} uses {used}, but {parts[2]} comes before {room}";
                    }

                    break;
                case "Diffract.Compute" when room != "Compute":
                case "Diffract.Cpu" when room is not ("Compute" or "Cpu"):
                    yield return $"{path} uses {used}, but kernels know only shapes and pointers";
                    break;
            }
        }
    }

    /// <summary>The namespace is the project and the folders; a program's top-level file has none.</summary>
    public static IEnumerable<string> NamespaceIsFolder(string path, string text)
    {
        string wanted = string.Join('.', path.Split('/')[1..^1]);
        string[] found = [.. Namespaces.Matches(text).Select(m => m.Groups[1].Value)];
        bool holds = found.Length == 0 ? path.EndsWith("/Program.cs", StringComparison.Ordinal) : found is [string only] && only == wanted;
        if (!holds)
        {
            yield return $"{path} has the namespace {string.Join(", ", found)}, wanted {wanted}";
        }
    }

    /// <summary>Above 400 lines a file says why in its first ten; none passes 800.</summary>
    public static IEnumerable<string> Length(string path, string text)
    {
        string[] lines = text.TrimEnd('\n').Split('\n');
        if (lines.Length > LongestFile)
        {
            yield return $"{path} has {lines.Length} lines, at most {LongestFile} are allowed";
        }
        else if (lines.Length > LongFile && !lines.Take(MarkWithin).Any(l => l.TrimStart().StartsWith("// Long because", StringComparison.Ordinal)))
        {
            yield return $"{path} has {lines.Length} lines; above {LongFile} a comment '// Long because' in the first {MarkWithin} lines says why";
        }
    }

    /// <summary>At most 3 files in 100 are longer than 400 lines.</summary>
    public static IEnumerable<string> FewLongFiles(IReadOnlyCollection<(string Path, string Text)> files)
    {
        string[] longOnes = [.. files.Where(f => f.Text.TrimEnd('\n').Split('\n').Length > LongFile).Select(f => f.Path)];
        if (longOnes.Length * 100 > files.Count * 3)
        {
            yield return $"{longOnes.Length} of {files.Count} files have more than {LongFile} lines, at most 3 in 100 may: {string.Join(", ", longOnes)}";
        }
    }

    /// <summary>Nothing unfinished stays.</summary>
    public static IEnumerable<string> Finished(string path, string text)
    {
        string[] lines = text.Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            foreach (string word in Unfinished.Where(w => lines[i].Contains(w, StringComparison.Ordinal)))
            {
                yield return $"{path} line {i + 1} says {word}";
            }
        }
    }

    /// <summary>Any mention of a room or project by its full name: usings, aliases, qualified names, links in comments.</summary>
    [GeneratedRegex(@"\b(Diffract\.[A-Z]\w*)")]
    static partial Regex Uses { get; }

    [GeneratedRegex(@"^namespace\s+([\w.]+)", RegexOptions.Multiline)]
    static partial Regex Namespaces { get; }
}
