using Diffract.Runs;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Diffract.Formats.Hub;

/// <summary>
/// What the head of a data set's README says about its files: configurations with their splits and the patterns of their files (<c>configs</c>, <c>data_files</c>). Read event by event, with bounded nesting,
/// since it comes from elsewhere.
/// </summary>
sealed class DatasetCard
{
    const int DeepestNesting = 32;
    const int MostHead = 4 << 20;
    const string Fence = "---";

    /// <summary>Configurations in their order; empty where the card names none.</summary>
    public List<CardConfig> Configs { get; } = [];

    /// <param name="text">The README.</param>
    /// <param name="what">Whose it is, for messages.</param>
    /// <exception cref="DiffractException">Its head cannot be read.</exception>
    public static DatasetCard Read(string text, string what)
    {
        DatasetCard card = new();
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        int end = lines[0].TrimEnd() == Fence ? Array.FindIndex(lines, 1, l => l.TrimEnd() == Fence) : -1;
        if (end < 0)
        {
            return card;
        }

        string head = string.Join('\n', lines[1..end]);
        try
        {
            if (head.Length > MostHead)
            {
                throw new InvalidDataException("it is too long");
            }

            Parser parser = new(new StringReader(head));
            parser.Consume<StreamStart>();
            if (parser.TryConsume<DocumentStart>(out _) && Node(parser, 0) is Dictionary<string, object?> root && root.GetValueOrDefault("configs") is List<object?> configs)
            {
                card.Configs.AddRange(configs.OfType<Dictionary<string, object?>>().Select(Config));
            }
        }
        catch (Exception e) when (e is YamlException or InvalidDataException or ArgumentException or InvalidOperationException)
        {
            throw new DiffractException($"the head of the README.md of {what} cannot be read ({e.Message}); name files with hf://datasets/ORG/NAME/PATH", inner: e);
        }

        return card;
    }

    static CardConfig Config(Dictionary<string, object?> config)
    {
        string name = config.GetValueOrDefault("config_name") as string ?? "default";
        string? folder = config.GetValueOrDefault("data_dir") as string;
        List<(string Split, string Pattern)> files = [];
        switch (config.GetValueOrDefault("data_files"))
        {
            case List<object?> list when list.OfType<Dictionary<string, object?>>().Any():
                foreach (Dictionary<string, object?> part in list.OfType<Dictionary<string, object?>>())
                {
                    files.AddRange(Patterns(part.GetValueOrDefault("path")).Select(p => (part.GetValueOrDefault("split") as string ?? "train", p)));
                }

                break;
            case Dictionary<string, object?> bySplit:
                files.AddRange(bySplit.SelectMany(s => Patterns(s.Value).Select(p => (s.Key, p))));
                break;
            case { } all:
                files.AddRange(Patterns(all).Select(p => ("train", p)));
                break;
        }

        return new CardConfig(name, config.GetValueOrDefault("default") as string is "true" or "True", folder?.Trim('/'), files);
    }

    static IEnumerable<string> Patterns(object? value) => value is string one ? [one] : value is List<object?> several ? several.OfType<string>() : [];

    /// <summary>A text, a list or a mapping.</summary>
    static object? Node(IParser parser, int depth)
    {
        if (depth > DeepestNesting)
        {
            throw new InvalidDataException("it is nested too deeply");
        }

        if (parser.Current is Scalar scalar)
        {
            _ = parser.MoveNext();
            return scalar.Value;
        }

        if (parser.TryConsume<SequenceStart>(out _))
        {
            List<object?> items = [];
            while (!parser.TryConsume<SequenceEnd>(out _))
            {
                items.Add(Node(parser, depth + 1));
            }

            return items;
        }

        if (parser.TryConsume<MappingStart>(out _))
        {
            Dictionary<string, object?> members = [];
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                object? key = Node(parser, depth + 1), value = Node(parser, depth + 1);
                if (key is string name)
                {
                    members[name] = value;
                }
            }

            return members;
        }

        // An alias stands for nothing that is looked for.
        return parser.MoveNext() ? null : throw new InvalidDataException("it ends early");
    }
}

/// <summary>A configuration of a data set.</summary>
/// <param name="Name">Its name.</param>
/// <param name="IsDefault">Whether it is taken when none is named.</param>
/// <param name="Folder">Folder of its files, or null.</param>
/// <param name="Files">Patterns of files with their splits; none: told by the files' names.</param>
sealed record CardConfig(string Name, bool IsDefault, string? Folder, IReadOnlyList<(string Split, string Pattern)> Files);
