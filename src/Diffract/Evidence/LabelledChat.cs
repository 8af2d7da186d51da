namespace Diffract.Evidence;

/// <summary>A held-out chat as label tracking sees it.</summary>
/// <param name="Document">Number in the token store; decides the half.</param>
/// <param name="Groups">Distinct groups of its labels (the part before "/").</param>
public sealed record LabelledChat(int Document, IReadOnlyList<string> Groups);
