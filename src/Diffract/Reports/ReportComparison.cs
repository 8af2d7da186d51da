namespace Diffract.Reports;

/// <summary>Section 1: what was compared.</summary>
/// <param name="Checkpoints">Base first.</param>
/// <param name="Texts">By source and split.</param>
/// <param name="Roles">By role.</param>
/// <param name="Models">Activations by model.</param>
public sealed record ReportComparison(
    IReadOnlyList<ReportCheckpoint> Checkpoints, IReadOnlyList<ReportText> Texts, IReadOnlyList<ReportRole> Roles, IReadOnlyList<ReportModel> Models);

/// <summary>One of the two language models.</summary>
/// <param name="Role">base or chat.</param>
/// <param name="Name">Name of its folder.</param>
/// <param name="Seal">XXH128 over configuration and weights.</param>
/// <param name="Family">Architecture, as config.json names it.</param>
/// <param name="Blocks">Number of blocks; 0 when the folder can't be read any more.</param>
/// <param name="Width">Width of the residual stream.</param>
/// <param name="Vocabulary">Number of token ids.</param>
public sealed record ReportCheckpoint(string Role, string Name, string Seal, string Family, int Blocks, int Width, int Vocabulary);

/// <summary>Text of one source in one split.</summary>
/// <param name="Source">documents or chats.</param>
/// <param name="Split">training, scaling or held out.</param>
/// <param name="Documents">How many documents or chats.</param>
/// <param name="Tokens">Their tokens.</param>
public sealed record ReportText(string Source, string Split, long Documents, long Tokens);

/// <summary>Tokens of one role; the end-of-turn of an answer counts as template and as answer.</summary>
/// <param name="Role">plain text, user, assistant, template or BOS.</param>
/// <param name="Tokens">Tokens with that role.</param>
/// <param name="Share">Of all tokens.</param>
public sealed record ReportRole(string Role, long Tokens, double Share);

/// <summary>Activations of one model.</summary>
/// <param name="Name">base or chat.</param>
/// <param name="Width">D, its width.</param>
/// <param name="Norm">Root of the mean squared norm over all tokens.</param>
/// <param name="Gamma">|mean| / |standard deviation| over the width, from the first training tokens; NaN when no crosscoder was trained.</param>
/// <param name="Tokens">Tokens behind the norm.</param>
public sealed record ReportModel(string Name, int Width, double Norm, double Gamma, long Tokens);
